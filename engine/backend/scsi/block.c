/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI commands that move or discard data: SBC-3, section 5. Each worker
 * enters it with one command. The disk checks every range.
 */
#include <errno.h>

#include <linux/virtio_scsi.h>

#include "scsi/scsi.h"

enum {
	FUA = 0x08,		/* byte 1 */
	PROTECT = 0xe0,		/* byte 1: RDPROTECT, WRPROTECT */
	ANCHOR = 0x01,		/* UNMAP, byte 1 */
	/* The number of blocks that 0 means in a 6-byte CDB. */
	BLOCKS_OF_ZERO_6 = 256,
};

/* The length of a CDB is in the top bits of its opcode: SPC-4, 4.2.5.1. */
static unsigned int group_of(const uint8_t *cdb)
{
	return cdb[0] >> 5;
}

void scsi_parse_range(const uint8_t *cdb, uint64_t *lba, uint64_t *blocks)
{
	switch (group_of(cdb)) {
	case 0:
		*lba = get_be24(cdb + 1) & 0x1fffff;
		*blocks = cdb[4] ? cdb[4] : BLOCKS_OF_ZERO_6;
		break;
	case 4:
		*lba = get_be64(cdb + 2);
		*blocks = get_be32(cdb + 10);
		break;
	case 5:
		*lba = get_be32(cdb + 2);
		*blocks = get_be32(cdb + 6);
		break;
	default:
		*lba = get_be32(cdb + 2);
		*blocks = get_be16(cdb + 7);
		break;
	}
}

void scsi_check_result(struct scsi_command *command, int result,
		       uint16_t medium_asc)
{
	switch (result) {
	case 0:
		break;
	case -ERANGE:
	case -EINVAL:
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_LBA_OUT_OF_RANGE);
		break;
	case -EROFS:
		scsi_check(command, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
		break;
	default:
		scsi_check(command, SENSE_MEDIUM_ERROR, medium_asc);
		break;
	}
}

/* Turns blocks into bytes and shortens the data buffer to that length. Returns
 * false if the command cannot be carried out. */
static bool prepare_transfer(struct scsi_command *command, struct span *data,
			     uint64_t *offset)
{
	const uint32_t block_bytes = command->disk->block_bytes;
	uint64_t lba, blocks;

	if (group_of(command->cdb) && command->cdb[1] & PROTECT) {
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_INVALID_FIELD_IN_CDB);
		return false;
	}
	scsi_parse_range(command->cdb, &lba, &blocks);
	if (lba > UINT64_MAX / block_bytes ||
	    disk_check(command->disk, lba * block_bytes,
		       blocks * block_bytes)) {
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_LBA_OUT_OF_RANGE);
		return false;
	}
	if (data->bytes < blocks * block_bytes) {
		command->response = VIRTIO_SCSI_S_OVERRUN;
		return false;
	}
	span_trim(data, blocks * block_bytes);
	*offset = lba * block_bytes;
	return true;
}

void scsi_read(struct scsi_command *command)
{
	uint64_t bytes, offset;
	int result;

	if (!prepare_transfer(command, command->in, &offset))
		return;
	bytes = command->in->bytes;
	result = disk_read(command->disk, offset, command->in,
			   command->what->later);
	scsi_check_result(command, result, ASC_READ_ERROR);
	if (!result)
		command->moved_bytes = bytes;
}

void scsi_write(struct scsi_command *command)
{
	uint64_t bytes, offset;
	int result;

	if (!prepare_transfer(command, command->out, &offset))
		return;
	bytes = command->out->bytes;
	if (group_of(command->cdb) && command->cdb[1] & FUA)
		result = disk_write_through(command->disk, offset, command->out,
					    command->what->later);
	else
		result = disk_write(command->disk, offset, command->out,
				    command->what->later);
	scsi_check_result(command, result, ASC_WRITE_ERROR);
	if (!result)
		command->moved_bytes = bytes;
}

void scsi_synchronize(struct scsi_command *command)
{
	const uint32_t block_bytes = command->disk->block_bytes;
	uint64_t lba, blocks;

	scsi_parse_range(command->cdb, &lba, &blocks);
	if (lba > UINT64_MAX / block_bytes ||
	    disk_check(command->disk, lba * block_bytes,
		       blocks * block_bytes)) {
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_LBA_OUT_OF_RANGE);
		return;
	}
	scsi_check_result(command, disk_flush(command->disk, command->what->later),
		     ASC_WRITE_ERROR);
}

static void unmap_range(struct scsi_command *command,
			const uint8_t range[UNMAP_RANGE_BYTES])
{
	const uint32_t block_bytes = command->disk->block_bytes;
	uint64_t lba = get_be64(range);
	uint64_t bytes = (uint64_t)get_be32(range + 8) * block_bytes;
	int result = -ERANGE;

	if (bytes / SECTOR_BYTES >
	    command->session->device->discard_sectors_max) {
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_INVALID_FIELD_IN_PARAMETERS);
		return;
	}
	if (lba <= UINT64_MAX / block_bytes)
		result = disk_discard(command->disk, lba * block_bytes, bytes,
				      command->what->later);
	scsi_check_result(command, result, ASC_WRITE_ERROR);
	if (!result)
		command->what->data_bytes += bytes;
}

/* 5.28: a header says how many bytes of ranges follow it. */
static void unmap_ranges(struct scsi_command *command, uint32_t list_bytes)
{
	uint8_t header[UNMAP_HEADER_BYTES], range[UNMAP_RANGE_BYTES];
	uint32_t count;

	span_take_front(command->out, header, sizeof(header));
	count = get_be16(header + 2);
	if (count > list_bytes - sizeof(header))
		count = list_bytes - sizeof(header);
	count /= sizeof(range);
	if (count > command->session->device->discard_segments_max) {
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_INVALID_FIELD_IN_PARAMETERS);
		return;
	}
	while (count-- && command->status == SCSI_GOOD) {
		span_take_front(command->out, range, sizeof(range));
		unmap_range(command, range);
	}
}

void scsi_unmap(struct scsi_command *command)
{
	uint32_t list_bytes = get_be16(command->cdb + 7);

	if (command->cdb[1] & ANCHOR) {
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_INVALID_FIELD_IN_CDB);
		return;
	}
	if (!list_bytes)
		return;
	if (list_bytes < UNMAP_HEADER_BYTES) {
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_PARAMETER_LIST_LENGTH);
		return;
	}
	if (command->out->bytes < list_bytes) {
		command->response = VIRTIO_SCSI_S_OVERRUN;
		return;
	}
	unmap_ranges(command, list_bytes);
	if (!command->session->device->profile->ignores_unmap_list)
		command->moved_bytes = list_bytes;
}
