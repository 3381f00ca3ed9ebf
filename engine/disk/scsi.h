/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-scsi: its configuration space, and requests as command descriptor
 * blocks (virtio 1.2, 5.6; SBC-3, SPC-4). The queue's owner calls it; it calls
 * only virtq.
 */
#ifndef SCSI_H
#define SCSI_H

#include "disk/request.h"

#define SCSI_CONFIG_BYTES 36
#define SCSI_CDB_BYTES 16

/* Virtqueues before the request queues (5.6.2): control and events. */
#define SCSI_FIXED_QUEUES 2

extern const struct command_set scsi_command_set;
/* Task management on the control queue: REQUEST_RESET_UNIT. */
extern const struct command_set scsi_control_command_set;

/* A command other than a read or a write, for REQUEST_COMMAND. The member user of the
 * request points to it, and the answer is written to the request's buffer. The length
 * of the answer is in its data: a residual means nothing here. */
struct scsi_command {
	uint8_t cdb[SCSI_CDB_BYTES];
};

/* SAM LUN of virtio-scsi: byte 0 is 1, byte 1 the target, bytes 2 and 3 the
 * LUN in flat addressing (5.6.6.1). */
void scsi_set_address(struct disk *disk, unsigned int target, unsigned int lun);

/* True if the controller wrote a response to the chain of a request that failed. */
bool scsi_is_answered(const struct virtq *vq, uint16_t chain);

/* True if space, SCSI_CONFIG_BYTES long, is a virtio-scsi configuration. */
bool scsi_is_config(const void *space);
void scsi_read_config(const void *space, struct disk *disk);
/* For a device without configuration space. */
void scsi_assume_config(struct disk *disk);

#endif
