/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions that both command sets share; see disk/request.h. */
#include "disk/request.h"

#include <errno.h>

#include "base/error.h"

const char *disk_request_name(uint8_t type)
{
	static const char *const names[] = {
		[REQUEST_READ] = "read",
		[REQUEST_WRITE] = "write",
		[REQUEST_FLUSH] = "flush",
		[REQUEST_DISCARD] = "discard",
		[REQUEST_WRITE_ZEROES] = "write-zeroes",
		[REQUEST_GET_ID] = "get-id",
		[REQUEST_COMMAND] = "command",
		[REQUEST_RESET_UNIT] = "reset",
	};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}

int disk_capacity(uint64_t blocks, uint32_t block_size, uint64_t *bytes)
{
	if (blocks > DISK_MAX_BYTES / block_size)
		return error_set(EPROTO, "the disk says that it has %llu blocks "
			"of %u bytes: a disk has at most %llu bytes",
			(unsigned long long)blocks, block_size,
			(unsigned long long)DISK_MAX_BYTES);
	*bytes = blocks * block_size;
	return 0;
}

void disk_set_end(struct disk *disk, uint64_t end_bytes)
{
	__atomic_store_n(&disk->end_bytes, end_bytes, __ATOMIC_RELAXED);
}

/* The disk may have shrunk after the program had read its size. Then the error is that of
 * a block that cannot be reached. */
int disk_refuse_range(const struct disk *disk, uint8_t type, uint64_t offset_bytes,
		      uint64_t size_bytes)
{
	unsigned long long end = disk_end(disk), before = disk->info.capacity_bytes;
	unsigned long long size = size_bytes, offset = offset_bytes;

	if (end < before)
		return error_set(EIO, "a %s of %llu bytes at %llu lies beyond the end of the "
				 "disk, which shrank from %llu to %llu bytes while it was in "
				 "use", disk_request_name(type), size, offset, before, end);
	return error_set(ENOSPC, "a %s of %llu bytes at %llu lies beyond the device's %llu "
			 "bytes", disk_request_name(type), size, offset, before);
}

uint32_t disk_take_part(struct request *req, uint64_t most_bytes)
{
	uint32_t bytes = (uint32_t)(req->left_bytes < most_bytes ?
				    req->left_bytes : most_bytes);

	req->part_bytes = bytes;
	req->offset_bytes += bytes;
	req->left_bytes -= bytes;
	return bytes;
}

static bool has_data(const struct request *req)
{
	return req->type <= REQUEST_WRITE || req->type == REQUEST_COMMAND;
}

void disk_give_part_back(struct request *req)
{
	req->offset_bytes -= req->part_bytes;
	req->left_bytes += req->part_bytes;
	if (has_data(req))
		req->buffer -= req->part_bytes;
	req->part_bytes = 0;
}

inline uint16_t disk_fill_segments(const struct disk *disk, struct vring_desc *desc,
			    struct request *req, uint16_t flags,
			    uint16_t last_flags)
{
	uint32_t bytes = req->part_bytes;
	uint16_t count = 0;

	while (bytes) {
		uint32_t part = bytes < disk->max_segment_bytes ?
				bytes : disk->max_segment_bytes;

		bytes -= part;
		virtq_set_desc(&desc[count++], req->buffer, part,
			       bytes ? flags : last_flags);
		req->buffer += part;
	}
	return count;
}

/* ---- limits ------------------------------------------------------------------ */

/* The value 0 means no limit. */
static uint64_t no_more_than(uint64_t value, uint64_t limit)
{
	return value && value < limit ? value : limit;
}

static uint32_t whole_blocks(const struct device_info *info, uint64_t limit)
{
	return (uint32_t)(limit & ~(uint64_t)(info->block_size - 1));
}

/* Parts that begin at a multiple of the alignment can be discarded wholly. */
static uint64_t aligned(const struct device_info *info, uint64_t limit)
{
	uint64_t alignment = info->discard_alignment;

	return alignment && limit > alignment ? limit - limit % alignment : limit;
}

static void allow_types(struct disk *disk)
{
	const struct device_info *info = &disk->info;

	disk->allowed_types = 1u << REQUEST_READ | 1u << REQUEST_FLUSH |
			      1u << REQUEST_GET_ID | 1u << REQUEST_COMMAND |
			      1u << REQUEST_RESET_UNIT;
	if (info->read_only)
		return;
	disk->allowed_types |= 1u << REQUEST_WRITE;
	if (info->can_discard)
		disk->allowed_types |= 1u << REQUEST_DISCARD;
	if (info->can_write_zeroes)
		disk->allowed_types |= 1u << REQUEST_WRITE_ZEROES;
}

/* Discard and write-zeroes are not used if their limit is less than one block. */
int disk_derive_limits(struct disk *disk)
{
	struct device_info *info = &disk->info;
	uint64_t segment = no_more_than(info->size_max, DISK_MAX_PART_BYTES);
	uint64_t most = no_more_than(disk->max_transfer_bytes, DISK_MAX_PART_BYTES);

	disk_set_end(disk, info->capacity_bytes);
	disk->block_shift = (uint32_t)__builtin_ctz(info->block_size);
	disk->max_segment_bytes = (uint32_t)segment;
	disk->max_part_bytes =
		whole_blocks(info, no_more_than(segment * info->seg_max, most));
	disk->max_discard_part_bytes =
		whole_blocks(info, aligned(info, no_more_than(info->max_discard_bytes,
							      DISK_MAX_RANGE_BYTES)));
	disk->max_write_zeroes_part_bytes =
		whole_blocks(info, no_more_than(info->max_write_zeroes_bytes,
						DISK_MAX_RANGE_BYTES));
	info->can_discard &= disk->max_discard_part_bytes != 0;
	info->can_write_zeroes &= disk->max_write_zeroes_part_bytes != 0;
	allow_types(disk);
	if (disk->max_part_bytes)
		return 0;
	return error_set(EPROTO, "the back-end's limits (size_max %u, seg_max "
		"%u) leave no room for one block of %u bytes", info->size_max,
		info->seg_max, info->block_size);
}
