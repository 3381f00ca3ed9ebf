/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue of one client, from the device's side.
 *
 * Set up and torn down by the control thread while the workers are parked;
 * while it runs, one worker alone enters it. The functions below are what a
 * ring format must offer: ring/split.c is the one there is, and a packed one
 * would stand beside it. Knows nothing of sockets, devices or storage.
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
	/* What messages said; written by the control thread. */
	unsigned int index;
	unsigned int size; /* descriptors; 0: not said yet */
	uint64_t descriptor_user, avail_user, used_user;
	bool has_addresses;
	bool has_kick; /* with or without an fd */
	bool enabled;
	bool event_idx, indirect; /* negotiated */
	int kick_fd, call_fd, err_fd; /* -1: none */

	/* While it runs. */
	bool running;
	bool broken;  /* the client broke the rules: served no more */
	const char *breach; /* which rule, */
	int breach_code;    /* and a negative errno */
	bool dormant; /* waits for a kick before its first look */
	const struct memory *memory;
	const struct memory_region *recent;
	struct vring_desc *descriptors;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t taken_index;     /* next in the avail ring */
	uint16_t offered_index;   /* the avail index at the last look */
	uint16_t used_index;      /* next in the used ring */
	uint16_t published_index; /* what the client was told */
	struct held_heap held;

	/* Requests that an earlier back-end left, to be taken first. */
	struct inflight_queue *inflight; /* NULL: not tracked */
	uint64_t inflight_counter;
	uint16_t *left_heads;
	unsigned int left_count, left_next;
};

void ring_init(struct ring *ring, unsigned int index);
/* Closes the descriptors and forgets what messages said. */
void ring_close(struct ring *ring);

/* Finds the ring in the client's memory and begins. 0 or a negative errno. */
int ring_start(struct ring *ring, const struct memory *memory,
	       struct inflight_queue *inflight);
/* Ends without completing anything. */
void ring_stop(struct ring *ring);

/* Takes up to `max` new requests: their heads. A negative errno if the client
 * broke the rules. */
int ring_take(struct ring *ring, uint16_t *heads, unsigned int max);
/* Gives the last `count` of those just taken back, to be taken again. */
void ring_untake(struct ring *ring, unsigned int count);
/* Reads a request's chain. A negative errno as for chain_add(). */
int ring_load(struct ring *ring, uint16_t head, struct chain *chain);
/* Has the memory of a request that will be loaded soon brought near. */
void ring_prefetch(struct ring *ring, uint16_t head);

/* Puts a completed request in the used ring; the client sees it once it is
 * published. */
void ring_put(struct ring *ring, uint32_t head, uint32_t used_bytes);
/* Publishes all that was put. Returns whether the client wants a call. */
bool ring_publish(struct ring *ring);
/* Takes the kicks that came, if there are any; never waits. */
bool ring_take_kick(struct ring *ring);
/* Signals the call fd: one system call. Returns whether there was one. A client
 * that makes us wait there breaks its ring. */
bool ring_call(struct ring *ring);

/* Asks the client for kicks; look with ring_has_work() after it, and only then
 * sleep. */
void ring_ask_kicks(struct ring *ring);
void ring_refuse_kicks(struct ring *ring);
bool ring_has_work(const struct ring *ring);

/* Marks the ring broken, keeps why, and signals its err fd. */
void ring_break(struct ring *ring, const char *breach, int code);

#endif
