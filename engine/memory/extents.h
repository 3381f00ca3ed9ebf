/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An allocator over stretches of address space, in whole cache lines: two
 * owners never share one. It touches none of the memory that it hands out, so
 * that whoever shares that memory cannot harm it.
 *
 * A stretch has a number, and an allocation can be limited to some of them.
 * Free extents are kept by size, allocated ones by address; neighbours that
 * are free become one. Time grows with the logarithm of their number. No lock:
 * one thread at a time calls.
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
	unsigned int stretch;
	bool is_free;
	bool is_first;                 /* of its stretch: none to merge with before it */
	TAILQ_ENTRY(extent) neighbour; /* in the order of addresses in a stretch */
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
/* Adds a stretch of whole granules, number 0 to 31. False without memory for
 * book-keeping. */
bool extents_add(struct extents *extents, void *address, size_t size_bytes,
		 unsigned int stretch);
/* alignment is a power of two; stretches has a bit for each that will do. NULL
 * if there is no room. */
void *extents_alloc(struct extents *extents, size_t size_bytes, size_t alignment,
		    uint32_t stretches);
/* address came from extents_alloc(); any other is left alone. */
void extents_free(struct extents *extents, void *address);
/* What was allocated at address, or 0. */
size_t extents_size(const struct extents *extents, void *address);
/* As extents_free(), but it is not allocated again before extents_take_back(). */
void extents_set_aside(struct extents *extents, void *address);
void extents_take_back(struct extents *extents, struct extent *extent);

#endif
