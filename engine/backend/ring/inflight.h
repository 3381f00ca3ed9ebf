/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared record of requests in flight, by which a back-end that was
 * started anew knows what its forerunner left undone.
 * vhost-user, "Inflight I/O tracking"; the form for split virtqueues.
 *
 * The record lies in memory that the client can write too, so no index read
 * from it is trusted. One queue's part is written by the worker that serves
 * the queue; mapping and recovery happen in the control thread while the
 * workers are parked.
 */
#ifndef BACKEND_INFLIGHT_H
#define BACKEND_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inflight_entry {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next; /* in the list of the last batch */
	uint64_t counter;
};

struct inflight_queue {
	uint64_t features; /* 0 */
	uint16_t version;  /* 1; 0 in memory never used */
	uint16_t entry_count;
	uint16_t last_batch_head;
	uint16_t used_index;
	struct inflight_entry entries[];
};

struct inflight {
	uint8_t *mapping; /* NULL: the client does not track */
	size_t mapping_bytes;
	size_t queue_bytes; /* distance from one queue's part to the next */
	uint16_t queue_count;
	uint16_t queue_size;
};

/* Bytes that all the queues need. */
size_t inflight_bytes(uint16_t queue_count, uint16_t queue_size);
/* Makes the memory: returns a new fd, for the client, or a negative errno. */
int inflight_create(struct inflight *inflight, uint16_t queue_count,
		    uint16_t queue_size);
/* Maps memory that the client kept. The fd stays the caller's. */
int inflight_map(struct inflight *inflight, int fd, uint64_t offset,
		 uint64_t bytes, uint16_t queue_count, uint16_t queue_size);
void inflight_unmap(struct inflight *inflight);
/* Whether the client took the memory away (memory/guard.h). */
bool inflight_was_cut(const struct inflight *inflight);

/* One queue's part, or NULL where there is none for a ring of this size. */
struct inflight_queue *inflight_of_queue(const struct inflight *inflight,
					 unsigned int index,
					 unsigned int ring_size);

/* Brings the record up to the used ring's index, and writes the heads still in
 * flight to `heads`, which has room for a whole ring, in the order in which
 * they were taken. Returns how many; `next_counter` is what the next request
 * is to bear. */
unsigned int inflight_recover(struct inflight_queue *queue,
			      unsigned int ring_size, uint16_t used_index,
			      uint16_t *heads, uint64_t *next_counter);

#endif
