/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which disks are behind a running virtio-scsi controller, and what the chosen
 * one is: INQUIRY, REPORT LUNS, READ CAPACITY, VPD pages (SPC-4, SBC-3). And
 * the id of a virtio-blk device. Part of device_start(), in its thread.
 */
#ifndef DISCOVER_H
#define DISCOVER_H

struct device;

/* Fills in dev->disk for the disk that the configuration chooses, or for the
 * only one there is. 0, or a negative errno with a sentence; -ENODEV also
 * when there are several and none is chosen: the sentence lists them. */
int discover_scsi(struct device *dev);
/* Fills in the id; without one it stays empty. */
void discover_blk_id(struct device *dev);

#endif
