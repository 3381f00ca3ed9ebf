/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory that one client shares: its regions, mapped here, and the
 * translation of the client's addresses into ours.
 *
 * Changed by the control thread while the workers are parked; read by the
 * worker that serves the client's rings. Trusts no number of a client's.
 */
#ifndef BACKEND_MEMORY_H
#define BACKEND_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../vhost/proto.h"
#include "base/barrier.h"

/* Memory slots that GET_MAX_MEM_SLOTS can announce at most. */
enum { MEMORY_REGIONS_MAX = 64 };

struct memory_region {
	uint64_t guest_address;
	uint64_t user_address;
	uint64_t size_bytes;
	uint8_t *host; /* where the region's first byte is for us */
	void *mapping; /* what munmap() wants */
	size_t mapping_bytes;
};

struct memory {
	unsigned int count;
	struct memory_region regions[MEMORY_REGIONS_MAX];
};

/* Maps one region; the fd stays the caller's. 0 or a negative errno, and the
 * reason by error_record(). */
int memory_add(struct memory *memory, const struct vhost_user_region *region,
	       int fd);
/* Unmaps the region with these addresses and this size. */
int memory_remove(struct memory *memory,
		  const struct vhost_user_region *region);
void memory_clear(struct memory *memory);
/* Whether the client took memory away that it shares (memory/guard.h). */
bool memory_was_cut(const struct memory *memory);

/* The region that holds a guest address, or NULL. */
const struct memory_region *memory_find_guest(const struct memory *memory,
					      uint64_t address);
/* Our address for `bytes` bytes at a user address, all in one region; or NULL. */
void *memory_from_user(const struct memory *memory, uint64_t address,
		       uint64_t bytes);

/* Whether the region holds `bytes` bytes from a guest address on. */
static inline int memory_region_holds(const struct memory_region *region,
				      uint64_t address, uint64_t bytes)
{
	uint64_t offset = address - region->guest_address;

	return offset < region->size_bytes &&
	       bytes <= region->size_bytes - offset;
}

#endif
