/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An allocator over spans of address space. It allocates whole cache lines, so two
 * allocations never share one. It does not access the memory that it allocates, so a
 * back-end that shares the memory cannot damage the allocator.
 *
 * A span has a number, and an allocation can be limited to some spans. Free extents
 * are kept by size, allocated ones by address; free neighbours are merged. The time
 * of a call grows with the logarithm of their number. There is no lock: only one
 * thread at a time may call.
 */
#ifndef EXTENTS_H
#define EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define EXTENTS_GRANULE_BYTES 64
#define EXTENTS_CLASSES 58

struct extent {
	char *address;
	size_t size_bytes;
	unsigned int span;
	bool is_free;
	bool is_first;                 /* of its span: it has no neighbour before it */
	TAILQ_ENTRY(extent) neighbour; /* in the order of addresses in a span */
	LIST_ENTRY(extent) alike;      /* free and of the same class, or set aside */
};

TAILQ_HEAD(extent_list, extent);
LIST_HEAD(extent_class, extent);

struct extents {
	struct extent_list all;
	struct extent_class free[EXTENTS_CLASSES]; /* by powers of two of granules */
	struct extent_class set_aside;             /* freed, but not to be used yet */
	void *allocated;                           /* tsearch(3)'s, by address */
};

void extents_init(struct extents *extents);
void extents_close(struct extents *extents);
/* Adds a span of whole granules; its number is 0 to 31. False if there is no memory
 * for the list of extents. */
bool extents_add(struct extents *extents, void *address, size_t size_bytes,
		 unsigned int span);
/* alignment is a power of two; spans has a bit for each span that may be used. NULL
 * if there is no room. */
void *extents_alloc(struct extents *extents, size_t size_bytes, size_t alignment,
		    uint32_t spans);
/* An address that did not come from extents_alloc() is ignored. */
void extents_free(struct extents *extents, void *address);
/* What was allocated at address, or 0. */
size_t extents_size(const struct extents *extents, void *address);
/* As extents_free(), but it is not allocated again before extents_take_back(). */
void extents_set_aside(struct extents *extents, void *address);
void extents_take_back(struct extents *extents, struct extent *extent);

#endif
