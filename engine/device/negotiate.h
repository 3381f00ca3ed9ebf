/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Agrees on features with the back-end and reads its configuration: from the first
 * message to the point where rings could start. Part of device_open(), in its
 * thread.
 */
#ifndef NEGOTIATE_H
#define NEGOTIATE_H

struct device;

/* Fills in dev->disk, dev->commands and dev->vu.protocol. 0, or a negative
 * errno with a sentence. */
int negotiate(struct device *dev);
/* Reads the configuration again, which may have changed, and resets a device that was
 * started. */
int negotiate_again(struct device *dev);
/* Negotiates on dev, a new connection, what is in use on a former one: the type, and exactly
 * its features. -EOPNOTSUPP if one is missing, except INFLIGHT_SHMFD, and -ENODEV for another
 * type. */
int negotiate_same(struct device *dev, const struct device *before);

#endif
