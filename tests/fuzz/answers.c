/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Responses and sense data of SCSI disks, and configuration spaces, as bytes. */
#include <errno.h>

#include "base/error.h"
#include "disk/blk.h"
#include "disk/scsi.h"
#include "disk/scsi_answer.h"
#include "disk/sense.h"
#include "input.h"

static void judge(struct input *input)
{
	struct virtio_scsi_cmd_resp response;
	struct disk disk = { .info = { .writeback = input_take(input, 1) & 1 } };
	struct request req = {
		.type = (uint8_t)(input_take(input, 1) % (REQUEST_RESET_UNIT + 1)),
		.part_bytes = (uint32_t)input_take(input, 4),
		.offset_bytes = input_take(input, 8),
	};
	int result;

	input_copy(input, &response, sizeof(response));
	error_set(EIO, "an earlier failure");
	result = scsi_judge(&disk, &response, &req);
	require(result >= DISK_TRY_LATER, "a result is an errno, or says to try again");
	require(!result || strncmp(error_message(), "an earlier", 10),
		"a failure has a sentence of its own");
}

/* In memory of its own size, so that a read behind its end is seen. */
static void parse_sense(struct input *input)
{
	size_t size = input->left;
	uint8_t *data = malloc(size ? size : 1);
	struct sense sense;

	if (!data)
		abort();
	input_copy(input, data, size);
	sense = sense_parse(data, size);
	sense_judge(&sense);
	require(sense_errno(&sense) > 0, "sense data has an errno");
	require(*sense_key_name(sense.key), "a sense key has a name");
	require(sense_code_name(sense.asc, sense.ascq) != NULL, "a code has a name or none");
	free(data);
}

static void check_disk(struct disk *disk)
{
	const struct device_info *info = &disk->info;

	require(info->block_size >= 512 && info->block_size <= 1u << 20 &&
		!(info->block_size & (info->block_size - 1)), "a block's size is possible");
	require(info->capacity_bytes <= DISK_MAX_BYTES, "a disk is not too large");
	if (disk_derive_limits(disk))
		return;
	require(disk->max_part_bytes && !(disk->max_part_bytes % info->block_size),
		"a part has whole blocks");
	require(disk->max_part_bytes <= DISK_MAX_PART_BYTES, "a part is not too large");
	require(disk->max_segment_bytes > 0, "a segment has bytes");
	require(disk->max_discard_part_bytes % info->block_size == 0 &&
		disk->max_write_zeroes_part_bytes % info->block_size == 0,
		"a part of a discard has whole blocks");
}

static void read_config(struct input *input)
{
	uint8_t space[BLK_CONFIG_BYTES];
	uint64_t features = input_take(input, 8);
	struct disk disk = { 0 };

	input_copy(input, space, sizeof(space));
	if (features >> 63) {
		scsi_is_config(space);
		disk.info.block_size = 512;
		scsi_read_config(space, &disk);
		check_disk(&disk);
	} else if (!blk_read_config(space, features, &disk.info)) {
		blk_is_config(space);
		check_disk(&disk);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	switch (input_take(&input, 1) % 3) {
	case 0:
		judge(&input);
		break;
	case 1:
		parse_sense(&input);
		break;
	default:
		read_config(&input);
	}
	return 0;
}
