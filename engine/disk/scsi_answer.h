/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the answer to a SCSI command means: the response of the controller (virtio
 * 1.2, 5.6.6.1), the status of the disk, its sense data and the residual (SAM-5,
 * SPC-4). Back-ends differ here, and each answer that the specifications allow has
 * its meaning in this file. Pure; called by the queue's owner, off the fast path.
 */
#ifndef SCSI_ANSWER_H
#define SCSI_ANSWER_H

#include <linux/virtio_scsi.h>

#include "disk/request.h"

/* A value that a device sends neither as a response code nor as a status. */
#define SCSI_UNTOUCHED 0xff

/* The result of command_set: 0, or with a sentence a positive errno,
 * DISK_TRY_AGAIN or DISK_TRY_LATER. The back-end may still change the answer, so a copy
 * is judged. */
int scsi_judge(const struct disk *disk, const struct virtio_scsi_cmd_resp *shared,
	       const struct request *req);

#endif
