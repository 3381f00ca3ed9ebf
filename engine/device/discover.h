/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the disks behind a running virtio-scsi controller and describes the chosen
 * one, by INQUIRY, REPORT LUNS, READ CAPACITY and VPD pages (SPC-4, SBC-3); and
 * reads the id of a virtio-blk device. Part of device_start(), in its thread.
 */
#ifndef DISCOVER_H
#define DISCOVER_H

struct device;

/* Fills in dev->disk for the disk that the configuration chooses, or for the
 * only one there is. 0, or a negative errno with a sentence. -ENODEV also if
 * there are several and none is chosen; the sentence then lists them. */
int discover_scsi(struct device *dev);
/* Fills in the id. It stays empty if the device has none. A request that is not answered
 * in time is left in flight, with NULL as its user. */
void discover_blk_id(struct device *dev);

#endif
