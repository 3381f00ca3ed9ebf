/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory that one client shares: its memory regions, which are mapped here,
 * and the translation of the client's addresses into ours.
 *
 * The control thread changes it while the workers are parked. The workers that
 * serve the client's rings read it. No number from a client is trusted.
 */
#ifndef BACKEND_MEMORY_H
#define BACKEND_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../vhost/proto.h"
#include "base/barrier.h"

/* The largest number that GET_MAX_MEM_SLOTS can announce. */
enum { MEMORY_REGIONS_MAX = 64 };

struct memory_region {
	uint64_t guest_address;
	uint64_t user_address;
	uint64_t size_bytes;
	uint8_t *host; /* our address of the region's first byte */
	void *mapping; /* for munmap(), with mapping_bytes */
	size_t mapping_bytes;
};

struct memory {
	unsigned int count;
	struct memory_region regions[MEMORY_REGIONS_MAX];
};

/* Maps one region; the caller still owns the fd. Returns 0, or a negative errno
 * with the reason in error_record(). */
int memory_add(struct memory *memory, const struct vhost_user_region *region,
	       int fd);
/* Unmaps the region with these addresses and this size. */
int memory_remove(struct memory *memory,
		  const struct vhost_user_region *region);
void memory_clear(struct memory *memory);
/* Whether the client took shared memory away (memory/guard.h). */
bool memory_was_cut(const struct memory *memory);

/* The region that contains a guest address, or NULL. */
const struct memory_region *memory_find_guest(const struct memory *memory,
					      uint64_t address);
/* Our address of `bytes` bytes at a user address, or NULL if they are not all
 * in one region. */
void *memory_from_user(const struct memory *memory, uint64_t address,
		       uint64_t bytes);

/* Whether the region contains `bytes` bytes from a guest address on. */
static inline int memory_region_holds(const struct memory_region *region,
				      uint64_t address, uint64_t bytes)
{
	uint64_t offset = address - region->guest_address;

	return offset < region->size_bytes &&
	       bytes <= region->size_bytes - offset;
}

#endif
