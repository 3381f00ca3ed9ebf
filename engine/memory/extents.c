/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An allocator over address space; see memory/extents.h. */
#include "memory/extents.h"

#include <limits.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>

/* The number of extents of a class that are tried before the next higher class, in
 * which an extent that fits almost as well is found at once. */
#define LOOKS_PER_CLASS 16

void extents_init(struct extents *extents)
{
	*extents = (struct extents){ 0 };
	TAILQ_INIT(&extents->all);
}

static void keep(void *extent)
{
	(void)extent;
}

void extents_close(struct extents *extents)
{
	struct extent *extent;

	tdestroy(extents->allocated, keep);
	while ((extent = TAILQ_FIRST(&extents->all))) {
		TAILQ_REMOVE(&extents->all, extent, neighbour);
		free(extent);
	}
	extents_init(extents);
}

static unsigned int class_of(size_t size_bytes)
{
	size_t granules = size_bytes / EXTENTS_GRANULE_BYTES;

	return 63 - (unsigned int)__builtin_clzl(granules);
}

static void set_free(struct extents *extents, struct extent *extent)
{
	extent->is_free = true;
	LIST_INSERT_HEAD(&extents->free[class_of(extent->size_bytes)], extent, alike);
}

static void unset_free(struct extent *extent)
{
	extent->is_free = false;
	LIST_REMOVE(extent, alike);
}

static struct extent *make_extent(char *address, size_t size_bytes,
				  unsigned int span)
{
	struct extent *extent = calloc(1, sizeof(*extent));

	if (!extent)
		return NULL;
	extent->address = address;
	extent->size_bytes = size_bytes;
	extent->span = span;
	return extent;
}

bool extents_add(struct extents *extents, void *address, size_t size_bytes,
		 unsigned int span)
{
	struct extent *extent = make_extent(address, size_bytes, span);

	if (!extent)
		return false;
	extent->is_first = true;
	TAILQ_INSERT_TAIL(&extents->all, extent, neighbour);
	set_free(extents, extent);
	return true;
}

/* ---- allocating ------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct extent *first = a, *second = b;

	return (first->address > second->address) - (first->address < second->address);
}

static size_t padding_of(const struct extent *extent, size_t alignment)
{
	return -(uintptr_t)extent->address & (alignment - 1);
}

/* The requirements of an allocation. */
struct need {
	size_t size_bytes;
	size_t alignment;
	uint32_t spans;
};

static bool fits(const struct extent *extent, const struct need *need)
{
	size_t padding = padding_of(extent, need->alignment);

	return need->spans >> extent->span & 1 &&
	       extent->size_bytes >= padding &&
	       extent->size_bytes - padding >= need->size_bytes;
}

static struct extent *find_in(const struct extent_class *class,
			      const struct need *need, unsigned int looks)
{
	struct extent *extent;

	LIST_FOREACH(extent, class, alike) {
		if (fits(extent, need))
			return extent;
		if (!--looks)
			break;
	}
	return NULL;
}

static struct extent *find(struct extents *extents, const struct need *need,
			   unsigned int looks)
{
	struct extent *found = NULL;

	for (unsigned int class = class_of(need->size_bytes);
	     class < EXTENTS_CLASSES && !found; class++)
		found = find_in(&extents->free[class], need, looks);
	return found;
}

/* Cuts a free extent in two; both are free. */
static struct extent *split(struct extents *extents, struct extent *extent,
			    size_t size_bytes)
{
	struct extent *rest = make_extent(extent->address + size_bytes,
					  extent->size_bytes - size_bytes,
					  extent->span);

	if (!rest)
		return NULL;
	unset_free(extent);
	extent->size_bytes = size_bytes;
	TAILQ_INSERT_AFTER(&extents->all, extent, rest, neighbour);
	set_free(extents, rest);
	set_free(extents, extent);
	return rest;
}

/* Allocates an extent, after splitting off the unused space before and after. */
static char *take(struct extents *extents, struct extent *extent,
		  const struct need *need)
{
	size_t size_bytes = need->size_bytes;
	size_t padding = padding_of(extent, need->alignment);

	if (padding)
		extent = split(extents, extent, padding);
	if (!extent || (extent->size_bytes > size_bytes &&
			!split(extents, extent, size_bytes)))
		return NULL;
	if (!tsearch(extent, &extents->allocated, compare))
		return NULL;
	unset_free(extent);
	return extent->address;
}

void *extents_alloc(struct extents *extents, size_t size_bytes, size_t alignment,
		    uint32_t spans)
{
	size_t mask = EXTENTS_GRANULE_BYTES - 1;
	struct need need = { .alignment = alignment, .spans = spans };
	struct extent *extent;

	if (size_bytes > SIZE_MAX - mask)
		return NULL;
	need.size_bytes = ((size_bytes ? size_bytes : 1) + mask) & ~mask;
	if (alignment < EXTENTS_GRANULE_BYTES)
		need.alignment = EXTENTS_GRANULE_BYTES;
	extent = find(extents, &need, LOOKS_PER_CLASS);
	if (!extent)
		extent = find(extents, &need, UINT_MAX);
	return extent ? take(extents, extent, &need) : NULL;
}

/* ---- freeing -------------------------------------------------------------------- */

/* Merges two free neighbours of one span. */
static void merge(struct extents *extents, struct extent *first,
		  struct extent *second)
{
	if (!first || !second || !first->is_free || !second->is_free ||
	    second->is_first)
		return;
	unset_free(first);
	unset_free(second);
	first->size_bytes += second->size_bytes;
	TAILQ_REMOVE(&extents->all, second, neighbour);
	free(second);
	set_free(extents, first);
}

static void set_free_and_merge(struct extents *extents, struct extent *extent)
{
	set_free(extents, extent);
	merge(extents, extent, TAILQ_NEXT(extent, neighbour));
	if (!extent->is_first)
		merge(extents, TAILQ_PREV(extent, extent_list, neighbour), extent);
}

static struct extent *find_allocated(const struct extents *extents, void *address)
{
	struct extent key = { .address = address };
	struct extent **found = tfind(&key, &extents->allocated, compare);

	return found ? *found : NULL;
}

void extents_free(struct extents *extents, void *address)
{
	struct extent *extent = find_allocated(extents, address);

	if (!extent)
		return;
	tdelete(extent, &extents->allocated, compare);
	set_free_and_merge(extents, extent);
}

size_t extents_size(const struct extents *extents, void *address)
{
	const struct extent *extent = find_allocated(extents, address);

	return extent ? extent->size_bytes : 0;
}

void extents_set_aside(struct extents *extents, void *address)
{
	struct extent *extent = find_allocated(extents, address);

	if (!extent)
		return;
	tdelete(extent, &extents->allocated, compare);
	LIST_INSERT_HEAD(&extents->set_aside, extent, alike);
}

void extents_take_back(struct extents *extents, struct extent *extent)
{
	LIST_REMOVE(extent, alike);
	set_free_and_merge(extents, extent);
}
