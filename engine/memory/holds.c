/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Freeing memory, also such as a back-end may still touch; see memory/regions.h. */
#include "memory/regions.h"

#include <stdlib.h>

static bool is_held(const struct memory *memory, const char *address, size_t size_bytes)
{
	const struct memory_hold *hold;

	TAILQ_FOREACH(hold, &memory->holds, link)
		if (address < (const char *)hold->address + hold->size_bytes &&
		    (const char *)hold->address < address + size_bytes)
			return true;
	return false;
}

void memory_free(struct memory *memory, void *address)
{
	pthread_mutex_lock(&memory->lock);
	if (!TAILQ_EMPTY(&memory->holds) &&
	    is_held(memory, address, extents_size(&memory->extents, address)))
		extents_set_aside(&memory->extents, address);
	else
		extents_free(&memory->extents, address);
	pthread_mutex_unlock(&memory->lock);
}

void memory_hold(struct memory *memory, struct memory_hold *hold)
{
	pthread_mutex_lock(&memory->lock);
	TAILQ_INSERT_TAIL(&memory->holds, hold, link);
	pthread_mutex_unlock(&memory->lock);
}

static void take_back(struct memory *memory)
{
	struct extent *extent = LIST_FIRST(&memory->extents.set_aside), *next;

	for (; extent; extent = next) {
		next = LIST_NEXT(extent, alike);
		if (!is_held(memory, extent->address, extent->size_bytes))
			extents_take_back(&memory->extents, extent);
	}
}

void memory_release(struct memory *memory, struct memory_hold *hold)
{
	pthread_mutex_lock(&memory->lock);
	TAILQ_REMOVE(&memory->holds, hold, link);
	take_back(memory);
	pthread_mutex_unlock(&memory->lock);
}

void memory_end_holds(struct memory *memory, const void *holder, bool is_given_back)
{
	struct memory_hold *hold, *next;

	pthread_mutex_lock(&memory->lock);
	for (hold = TAILQ_FIRST(&memory->holds); hold; hold = next) {
		next = TAILQ_NEXT(hold, link);
		if (hold->holder != holder)
			continue;
		hold->holder = NULL;
		if (!is_given_back)
			continue;
		TAILQ_REMOVE(&memory->holds, hold, link);
		free(hold->block);
	}
	take_back(memory);
	pthread_mutex_unlock(&memory->lock);
}
