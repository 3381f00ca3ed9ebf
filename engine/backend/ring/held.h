/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of one ring that wait for a deadline before they are completed, or
 * that never complete. They are in a binary heap, in the order of their
 * deadlines. Requests with the same deadline keep the order of their arrival.
 *
 * The heap belongs to the worker that serves the ring; the control thread may
 * use it while the workers are parked. Room for a whole ring is allocated when
 * the ring starts, so holding a request never allocates.
 */
#ifndef BACKEND_HELD_H
#define BACKEND_HELD_H

#include <stdint.h>

/* The deadline of a request that is never to complete. */
#define HELD_FOREVER UINT64_MAX

struct held {
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
	uint64_t order;       /* counts arrivals */
	uint64_t tag;         /* virtio-scsi: for task management */
	uint32_t lun;         /* virtio-scsi: target << 16 | lun */
	uint32_t used_bytes;
	uint32_t faults; /* FAULT_BIT()s to apply when it completes */
	uint16_t jump;	 /* of the used index, for FAULT_USED_JUMP */
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

/* The caller must not exceed the capacity. */
void held_push(struct held_heap *heap, const struct held *entry);
/* Removes the entry at a position; the entry at 0 has the earliest deadline. */
struct held held_remove(struct held_heap *heap, unsigned int position);

/* The earliest deadline, or HELD_FOREVER if no request will complete. */
static inline uint64_t held_first_deadline_ns(const struct held_heap *heap)
{
	return heap->count ? heap->entries[0].deadline_ns : HELD_FOREVER;
}

#endif
