/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of one ring that were carried out but not yet completed, in the
 * order of their deadlines: a binary heap. Two with the same deadline keep the
 * order in which they came.
 *
 * Owned by the worker that serves the ring; the control thread may touch it
 * while the workers are parked. Room for a whole ring is allocated when the
 * ring starts, so that holding a request never allocates.
 */
#ifndef BACKEND_HELD_H
#define BACKEND_HELD_H

#include <stdint.h>

/* The deadline of a request that is never to complete. */
#define HELD_FOREVER UINT64_MAX

struct held {
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
	uint64_t order;       /* of arrival */
	uint64_t tag;         /* virtio-scsi: what task management names */
	uint32_t lun;         /* virtio-scsi: target << 16 | lun */
	uint32_t used_bytes;
	uint32_t faults; /* FAULT_BIT()s to be played when it completes */
	uint16_t jump;	 /* of the used index, if that is one of them */
	uint16_t head;
};

struct held_heap {
	struct held *entries;
	unsigned int count;
	unsigned int capacity;
	uint64_t next_order;
};

int held_open(struct held_heap *heap, unsigned int capacity);
void held_close(struct held_heap *heap);

/* The caller never holds more than the capacity. */
void held_push(struct held_heap *heap, const struct held *entry);
/* Removes the entry at a position; 0 is the one that is due first. */
struct held held_remove(struct held_heap *heap, unsigned int position);

/* When the first is due; HELD_FOREVER if nothing will be. */
static inline uint64_t held_first_deadline_ns(const struct held_heap *heap)
{
	return heap->count ? heap->entries[0].deadline_ns : HELD_FOREVER;
}

#endif
