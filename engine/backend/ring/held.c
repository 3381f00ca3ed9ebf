/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The heap of held requests. Only held_open() allocates.
 */
#include "ring/held.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

static int is_earlier(const struct held *a, const struct held *b)
{
	if (a->deadline_ns != b->deadline_ns)
		return a->deadline_ns < b->deadline_ns;
	return a->order < b->order;
}

static void swap(struct held *a, struct held *b)
{
	struct held kept = *a;

	*a = *b;
	*b = kept;
}

static void sift_up(struct held_heap *heap, unsigned int i)
{
	while (i && is_earlier(&heap->entries[i], &heap->entries[(i - 1) / 2])) {
		swap(&heap->entries[i], &heap->entries[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
}

static void sift_down(struct held_heap *heap, unsigned int i)
{
	for (;;) {
		unsigned int first = i, left = 2 * i + 1, right = 2 * i + 2;

		if (left < heap->count &&
		    is_earlier(&heap->entries[left], &heap->entries[first]))
			first = left;
		if (right < heap->count &&
		    is_earlier(&heap->entries[right], &heap->entries[first]))
			first = right;
		if (first == i)
			return;
		swap(&heap->entries[i], &heap->entries[first]);
		i = first;
	}
}

int held_open(struct held_heap *heap, unsigned int capacity)
{
	*heap = (struct held_heap){ .capacity = capacity };
	heap->entries = calloc(capacity, sizeof(*heap->entries));
	if (!heap->entries)
		return error_record(-ENOMEM, "no memory for %u requests",
				    capacity);
	return 0;
}

void held_close(struct held_heap *heap)
{
	free(heap->entries);
	*heap = (struct held_heap){ 0 };
}

void held_push(struct held_heap *heap, const struct held *entry)
{
	assert(heap->count < heap->capacity);
	heap->entries[heap->count] = *entry;
	heap->entries[heap->count].order = heap->next_order++;
	sift_up(heap, heap->count++);
}

struct held held_remove(struct held_heap *heap, unsigned int position)
{
	struct held removed = heap->entries[position];

	heap->entries[position] = heap->entries[--heap->count];
	if (position < heap->count) {
		sift_up(heap, position);
		sift_down(heap, position);
	}
	return removed;
}
