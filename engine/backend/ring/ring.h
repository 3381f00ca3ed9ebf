/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue of one client, from the device's side.
 *
 * The control thread starts and stops it while the workers are parked. While it
 * runs, only one worker enters it. The functions below are the interface of a
 * ring format; ring/split.c implements the split format, the only one so far.
 * This file knows nothing about sockets, devices or storage.
 */
#ifndef BACKEND_RING_H
#define BACKEND_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "ring/chain.h"
#include "ring/held.h"
#include "ring/inflight.h"
#include "memory/client.h"

/* Virtio 1.2, 2.7: the largest split ring. */
enum { RING_SIZE_MAX = 32768 };

struct ring {
	/* Set by messages; written by the control thread. */
	unsigned int index;
	unsigned int size; /* descriptors; 0: not set yet */
	uint64_t descriptor_user, avail_user, used_user;
	bool has_addresses;
	bool has_kick; /* with or without an fd */
	bool enabled;
	bool event_idx, indirect; /* negotiated */
	int kick_fd, call_fd, err_fd; /* -1: none */

	/* Used while the ring runs. */
	bool running;
	bool broken;  /* the client broke the rules, so it is not served */
	const char *reason; /* which rule was broken; for the log */
	int reason_code;    /* a negative errno */
	bool dormant; /* is served only after a kick arrives */
	const struct memory *memory;
	const struct memory_region *recent;
	struct vring_desc *descriptors;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t taken_index;     /* next in the avail ring */
	uint16_t offered_index;   /* the avail index when it was last read */
	uint16_t used_index;      /* next in the used ring */
	uint16_t published_index; /* the used index that the client sees */
	struct held_heap held;
	unsigned int postponed; /* requests that others carry out now */
	struct trace *trace; /* the times of some requests; NULL: not wanted */

	/* Requests that an earlier back-end left are taken first. */
	struct inflight_queue *inflight; /* NULL: not tracked */
	uint64_t inflight_counter;
	uint16_t *left_heads;
	unsigned int left_count, left_next;
};

void ring_init(struct ring *ring, unsigned int index);
/* Closes the file descriptors and forgets what messages set. */
void ring_close(struct ring *ring);

/* Finds the ring in the client's memory and starts it. Returns 0 or a negative
 * errno. */
int ring_start(struct ring *ring, const struct memory *memory,
	       struct inflight_queue *inflight);
/* Stops the ring; no request is completed. */
void ring_stop(struct ring *ring);

/* Takes up to `max` new requests and writes their heads. Returns how many, or a
 * negative errno if the client broke the rules. */
int ring_take(struct ring *ring, uint16_t *heads, unsigned int max);
/* Puts the last `count` taken requests back; they are taken again later. */
void ring_untake(struct ring *ring, unsigned int count);
/* Reads a request's chain. Returns 0 or a negative errno: those of chain_add(),
 * or -ELOOP if the chain is longer than its table. */
int ring_load(struct ring *ring, uint16_t head, struct chain *chain);
/* Prefetches the first buffer of a request that will be loaded soon. */
void ring_prefetch(struct ring *ring, uint16_t head);

/* Puts a completed request into the used ring. The client sees it after
 * ring_publish(). */
void ring_put(struct ring *ring, uint32_t head, uint32_t used_bytes);
/* Publishes all completed requests. Returns whether the client wants a call. */
bool ring_publish(struct ring *ring);
/* Reads the kick fd without waiting. Returns whether there was a kick. */
bool ring_take_kick(struct ring *ring);
/* Signals the call fd by one system call. Returns whether the client was
 * signalled. If the client makes us wait there, its ring is marked broken. */
bool ring_call(struct ring *ring);

/* Asks the client for kicks. Then check ring_has_work() before sleeping. */
void ring_ask_kicks(struct ring *ring);
void ring_refuse_kicks(struct ring *ring);
bool ring_has_work(const struct ring *ring);

/* Marks the ring broken, records the reason, and signals its err fd. */
void ring_break(struct ring *ring, const char *reason, int code);

#endif
