/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both command sets need of a disk; see disk.h. */
#include "disk.h"

const char *disk_request_name(uint8_t type)
{
	static const char *const names[] = {
		[REQUEST_READ] = "read",
		[REQUEST_WRITE] = "write",
		[REQUEST_FLUSH] = "flush",
		[REQUEST_DISCARD] = "discard",
		[REQUEST_WRITE_ZEROES] = "write-zeroes",
		[REQUEST_GET_ID] = "get-id",
	};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}

uint16_t disk_fill_segments(const struct disk *disk, struct vring_desc *desc,
			    const char *buffer, uint32_t bytes, uint16_t flags)
{
	uint16_t count = 0;

	while (bytes) {
		uint32_t part = bytes < disk->max_segment_bytes ?
				bytes : disk->max_segment_bytes;

		desc[count].addr = (uintptr_t)buffer;
		desc[count].len = part;
		desc[count].flags = flags;
		buffer += part;
		bytes -= part;
		count++;
	}
	return count;
}
