/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared record of requests in flight. From it a restarted back-end learns
 * which requests the previous back-end did not complete. It has the format for
 * split virtqueues: vhost-user, "Inflight I/O tracking".
 *
 * The client can write the record too, so no index in it is trusted. The worker
 * that serves a queue writes that queue's part. The control thread maps and
 * recovers the record while the workers are parked.
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
	uint16_t version;  /* 1; 0 in memory that was never used */
	uint16_t entry_count;
	uint16_t last_batch_head;
	uint16_t used_index;
	struct inflight_entry entries[];
};

struct inflight {
	uint8_t *mapping; /* NULL: the client does not track requests */
	size_t mapping_bytes;
	size_t queue_bytes; /* of one queue's part */
	uint16_t queue_count;
	uint16_t queue_size;
};

/* The bytes that all queues need together. */
size_t inflight_bytes(uint16_t queue_count, uint16_t queue_size);
/* Creates and maps the memory. Returns a new fd for the client, which the
 * caller owns, or a negative errno. */
int inflight_create(struct inflight *inflight, uint16_t queue_count,
		    uint16_t queue_size);
/* Maps memory that the client kept. The caller still owns the fd. */
int inflight_map(struct inflight *inflight, int fd, uint64_t offset,
		 uint64_t bytes, uint16_t queue_count, uint16_t queue_size);
void inflight_unmap(struct inflight *inflight);
/* Whether the client took the memory away (memory/guard.h). */
bool inflight_was_cut(const struct inflight *inflight);

/* One queue's part, or NULL if there is none that fits a ring of this size. */
struct inflight_queue *inflight_of_queue(const struct inflight *inflight,
					 unsigned int index,
					 unsigned int ring_size);

/* Updates the record to the used ring's index, and writes the heads that are
 * still in flight to `heads`, in the order in which they were taken. `heads`
 * has room for a whole ring. Returns how many there are, or -ENOMEM.
 * `next_counter` is the counter of the next request. */
int inflight_recover(struct inflight_queue *queue, unsigned int ring_size,
		     uint16_t used_index, uint16_t *heads,
		     uint64_t *next_counter);

#endif
