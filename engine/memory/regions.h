/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that we share with a back-end: regions (one memfd each), and allocation from
 * them.
 *
 * A region has the same address for the back-end as for us, so a pointer into it is
 * written into a descriptor unchanged. Regions are 2 MiB aligned (or
 * aligned to their page, if larger), sealed against shrinking, and live until
 * memory_close(). Any thread may add regions, allocate and free.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "api.h"
#include "memory/extents.h"
#include "vhost/proto.h"

#define MEMORY_MAX_REGIONS VHOST_USER_MAX_REGIONS
#define MEMORY_ALIGNMENT (2ul << 20)

struct memory_region {
	void *address;
	size_t size_bytes;
	size_t page_bytes;
	int fd;
};

/* Memory that a back-end may still read or write although the operation that it
 * was for has ended. It can be freed meanwhile, but is not allocated again. */
struct memory_hold {
	const void *address;
	size_t size_bytes;
	const void *holder; /* see memory_end_holds() */
	void *block;        /* from malloc(): what the hold itself lies in */
	TAILQ_ENTRY(memory_hold) link;
};

struct memory {
	pthread_mutex_t lock; /* guards extents, holds, the appending of regions */
	struct extents extents;
	TAILQ_HEAD(, memory_hold) holds;
	struct memory_region regions[MEMORY_MAX_REGIONS];
	unsigned int num_regions; /* atomic: any thread looks regions up */
	unsigned int keepers;     /* atomic; of memory_create()'s */
	int hugepages; /* enum hugepages */
	bool fell_back; /* hugepages=auto: there were too few huge pages */
};

void memory_init(struct memory *memory, int hugepages);
/* Unmaps all regions, and with them all allocations. */
void memory_close(struct memory *memory);
/* In a process that was forked while another thread was using memory: unmaps the
 * regions and closes their files here, and touches nothing else. */
void memory_forget_inherited(struct memory *memory);

/* Maps a region of at least size_bytes, which is not part of the memory before it is
 * appended. 0, -ENOMEM (the sentence says how to get the pages), or -ENOSPC (there is
 * no further region). */
int memory_map_region(struct memory *memory, size_t size_bytes,
		      struct memory_region *region);
void memory_unmap_region(const struct memory_region *region);
/* Makes a mapped region a permanent part of the memory. Returns its index, or a
 * negative errno with a sentence; the caller must then unmap the region. */
int memory_append_region(struct memory *memory, const struct memory_region *region);
/* Maps and appends a region, for memory that no back-end knows yet. Returns the
 * index, or a negative errno with a sentence. */
int memory_add_region(struct memory *memory, size_t size_bytes);

/* Says in advice how to have enough huge pages of 2 MiB for size_bytes. */
void memory_advise_huge_pages(char *advice, size_t advice_size, size_t size_bytes);

unsigned int memory_num_regions(const struct memory *memory);
/* The size of all regions together. */
size_t memory_bytes(const struct memory *memory);

#define MEMORY_ALL_REGIONS UINT32_MAX

/* alignment is a power of two; regions has a bit for each index that may be used.
 * NULL if none of them has room. This records *no* sentence, because the caller may
 * add a region and try again. */
void *memory_alloc_in(struct memory *memory, size_t size_bytes, size_t alignment,
		      uint32_t regions);
/* Allocates in any region. */
void *memory_alloc(struct memory *memory, size_t size_bytes, size_t alignment);

/* From now on hold, which the caller filled in, holds its memory. */
void memory_hold(struct memory *memory, struct memory_hold *hold);
/* The back-end has given the memory back. The hold is the caller's again. */
void memory_release(struct memory *memory, struct memory_hold *hold);
/* holder ends. If the back-end has given all memory back, all its holds are
 * released and their blocks freed, else they last as long as the memory. */
void memory_end_holds(struct memory *memory, const void *holder, bool is_given_back);

/* The index of the region that holds all of [address, address + size_bytes), or
 * -1. Takes no lock. */
int memory_find(const struct memory *memory, const void *address, size_t size_bytes);

#endif
