/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a new connection leads to the disk that a device is using. Asks for what the
 * disk in use is known by: the configuration, and where the former connection was asked
 * for it, the ID.
 */
#ifndef SAME_DISK_H
#define SAME_DISK_H

struct device;

/* fresh: a device that was negotiated on the new connection, and whose rings do not run. 0,
 * or with a sentence -ENODEV (it is another disk), or the error of the connection. */
int same_disk_check(struct device *dev, struct device *fresh);

#endif
