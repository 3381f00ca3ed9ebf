/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory shared with a back-end: regions (one memfd each), and allocating from
 * them.
 *
 * A region's address for the back-end is its address here, so that a pointer
 * into it goes into a descriptor as it stands. Regions are 2 MiB aligned (or
 * aligned to their page, if larger), sealed against shrinking, and live until
 * memory_close(). Any thread may add regions, allocate and free.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "extents.h"
#include "vhost_proto.h"

#define MEMORY_MAX_REGIONS VHOST_USER_MAX_REGIONS
#define MEMORY_ALIGNMENT (2ul << 20)

struct memory_region {
	void *address;
	size_t size_bytes;
	size_t page_bytes;
	int fd;
	uint64_t file_offset_bytes; /* of the region in the file */
	bool is_foreign;            /* mapped by the program, not by us */
};

struct memory {
	pthread_mutex_t lock; /* guards extents, and the adding of regions */
	struct extents extents;
	struct memory_region regions[MEMORY_MAX_REGIONS];
	unsigned int num_regions; /* atomic: any thread looks regions up */
	int hugepages; /* enum hugepages */
	bool fell_back; /* hugepages=auto took ordinary pages for want of huge */
};

void memory_init(struct memory *memory, int hugepages);
/* Unmaps everything; what was allocated is gone with it. */
void memory_close(struct memory *memory);

/* Adds a region of at least size_bytes. Returns its index, or -ENOMEM (the
 * sentence says how to get the pages), -ENOSPC (all regions taken). */
int memory_add_region(struct memory *memory, size_t size_bytes);

/* Adds memory that the program mapped from a file (see device_register_memory()
 * in api.h); nothing is allocated from it. Returns its index, or -EINVAL,
 * -ENOSPC. */
int memory_add_foreign(struct memory *memory, const struct memory_region *region);
unsigned int memory_num_regions(const struct memory *memory);
/* Of all regions that are not foreign. */
size_t memory_own_bytes(const struct memory *memory);

/* alignment is a power of two. NULL when no region has room: *no* sentence is
 * recorded, since the caller may add a region and try again. */
void *memory_alloc(struct memory *memory, size_t size_bytes, size_t alignment);

/* True if all of [address, address + size_bytes) lies in one region. */
bool memory_contains(const struct memory *memory, const void *address,
		     size_t size_bytes);

#endif
