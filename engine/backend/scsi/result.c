/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends a command with data, or with sense data that says why it failed. Each
 * worker enters it with one command.
 */
#include <linux/virtio_scsi.h>

#include "scsi/scsi.h"

void scsi_check(struct scsi_command *command, uint8_t key, uint16_t asc)
{
	command->status = SCSI_CHECK_CONDITION;
	command->sense_key = key;
	command->asc = asc;
}

void scsi_fill_sense(uint8_t sense[SENSE_BYTES], uint8_t key, uint16_t asc)
{
	memset(sense, 0, SENSE_BYTES);
	sense[0] = 0x70; /* current, fixed format */
	sense[2] = key;
	sense[7] = SENSE_BYTES - 8;
	put_be16(sense + 12, asc);
}

void scsi_return(struct scsi_command *command, const void *data, size_t bytes,
		 size_t most)
{
	if (bytes > most)
		bytes = most;
	command->moved_bytes = span_put(command->in, data, bytes);
	if (command->moved_bytes < bytes)
		command->response = VIRTIO_SCSI_S_OVERRUN;
}
