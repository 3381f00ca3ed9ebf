/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds out whether a back-end serves virtio-blk or virtio-scsi, if neither its
 * features nor its configuration show it: starts rings for a moment, and sends a
 * request that is harmless for both types. Part of device_open(), in its thread.
 */
#ifndef ASK_TYPE_H
#define ASK_TYPE_H

struct device;

/* Fills in the type of dev->disk.info, and leaves no trace beside it. 0, or a negative
 * errno with a sentence; -EINVAL: the answers do not show it, so the user must. */
int ask_type(struct device *dev);

#endif
