/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtqueue as the driver sees it (virtio 1.2, 2.6 to 2.8), on plain
 * pointers: no socket, no device, no kick.
 *
 * A virtqueue has a fixed number of chains, each with descriptors, a request
 * area (written by us) and a response area (written by the back-end) of its
 * own. A chain is laid out once; a request then fills in only what changes.
 *
 * What lies where decides how many cache lines travel between the two sides
 * for each request. Request and response areas lie side by side, so that a
 * short one's line makes one round trip; descriptors have lines of their own,
 * which stay where they are as long as nothing in them changes.
 *
 * One thread owns a virtqueue; the back-end is the other party. Everything
 * that the back-end writes is checked before use; what cannot be marks the
 * virtqueue broken, for good.
 *
 * Barriers (the built-in back-end bears the same letters):
 *
 *   | driver, here                          | pairs with the back-end's      | if missing
 * --+---------------------------------------+--------------------------------+-----------
 * A | release: chain filled, then avail idx | acquire of avail idx, then     | it reads stale
 *   |                                       | reading the chain              | descriptors
 * B | acquire of used idx, then reading     | release: response and used     | we read a stale
 *   | element, response and data            | element, then used idx         | status or data
 * C | seq_cst: avail idx, then "kick        | seq_cst: "kick me", then a     | lost kick: it
 *   | wanted?"                              | look at avail idx              | sleeps on
 * D | seq_cst: "call me", then a look at    | seq_cst: used idx, then "call  | lost call: we
 *   | used idx                              | wanted?"                       | sleep on
 */
#ifndef VIRTQ_H
#define VIRTQ_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTQ_CACHE_LINE 64

/* What a virtqueue is to look like. */
struct virtq_shape {
	uint16_t size;           /* ring entries, a power of two */
	uint16_t num_chains;     /* requests in flight at most */
	uint16_t chain_length;   /* descriptors of each chain */
	uint16_t request_bytes;  /* of each chain's request area */
	uint16_t response_bytes; /* of each chain's response area */
	bool indirect;           /* one ring entry a chain (2.7.5.3) */
	bool event_idx;          /* 2.7.10 */
};

struct virtq {
	/* Set up once, then only read. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *avail_event;   /* in the used ring; the back-end writes it */
	uint16_t *used_event;    /* in the avail ring; we write it */
	char *areas;             /* a request area and a response area a chain */
	char *tables;            /* indirect descriptors */
	uint32_t area_stride;    /* bytes between chains */
	uint32_t table_stride;
	uint32_t response_offset; /* in an area */
	struct virtq_shape shape;
	uint16_t mask;
	/* Written by the owner. */
	uint16_t avail_next;      /* where the next chain goes */
	uint16_t avail_published; /* what the back-end may have seen */
	uint16_t avail_kicked;    /* published when a kick was last considered */
	uint16_t used_next;       /* the next used element to take */
	uint16_t in_flight;       /* chains that the back-end holds */
	bool is_broken;
	bool wants_all_calls;     /* even while nobody waits for one */
	bool *is_in_flight;       /* per chain */
};

/* Chains that a ring of this size holds. */
uint16_t virtq_max_chains(uint16_t size, uint16_t chain_length, bool indirect);
/* Bytes of shared memory that shape needs, at 4096 bytes' alignment. */
size_t virtq_bytes(const struct virtq_shape *shape);
/* memory: zeroed, virtq_bytes() long, 4096-aligned. 0 or -ENOMEM, -EINVAL. */
int virtq_init(struct virtq *vq, const struct virtq_shape *shape, void *memory);
void virtq_close(struct virtq *vq);

static inline void *virtq_request(const struct virtq *vq, uint16_t chain)
{
	return vq->areas + (size_t)chain * vq->area_stride;
}

static inline void *virtq_response(const struct virtq *vq, uint16_t chain)
{
	return vq->areas + (size_t)chain * vq->area_stride + vq->response_offset;
}

/* The first of the chain's descriptors; they lie side by side. All but the last
 * in use have the flag NEXT. */
static inline struct vring_desc *virtq_chain(const struct virtq *vq, uint16_t chain)
{
	if (vq->shape.indirect)
		return (struct vring_desc *)(vq->tables +
					     (size_t)chain * vq->table_stride);
	return vq->desc + (size_t)chain * vq->shape.chain_length;
}

/* Fills in a descriptor (its next is set already). What stays the same is not
 * written: the back-end's copy of the cache line stays good. */
static inline void virtq_set_desc(struct vring_desc *desc, const void *address,
				  uint32_t bytes, uint16_t flags)
{
	uint64_t addr = (uintptr_t)address;

	if (desc->addr != addr)
		desc->addr = addr;
	if (desc->len != bytes)
		desc->len = bytes;
	if (desc->flags != flags)
		desc->flags = flags;
}

/* Puts chain, of which length descriptors are in use, into the avail ring.
 * The back-end sees it after virtq_publish(). */
void virtq_submit(struct virtq *vq, uint16_t chain, uint16_t length);
/* Shows the back-end all that was submitted (barrier A). */
void virtq_publish(struct virtq *vq);
/* After publishing: does the back-end want a kick for it (barrier C)? */
bool virtq_needs_kick(struct virtq *vq);

/* True if the back-end has taken all that was published and wants a kick for what
 * comes next. Known with event_idx only. No barrier: it may have changed. */
bool virtq_is_drained(const struct virtq *vq);

/* Takes up to max used chains (barrier B). Their count, or -EPROTO with a
 * sentence: the used ring cannot be, and the virtqueue is broken. */
int virtq_reap(struct virtq *vq, uint16_t *chains, unsigned int max);
/* True if a look would find something, or find the virtqueue broken. */
bool virtq_has_used(const struct virtq *vq);

/* Chains submitted, but not yet published. */
static inline uint16_t virtq_num_gathered(const struct virtq *vq)
{
	return (uint16_t)(vq->avail_next - vq->avail_published);
}

/* Asks for a call at the next used chain. True if there is one already
 * (barrier D): then do not sleep. */
bool virtq_ask_calls(struct virtq *vq);
/* Calls are not wanted; one may still come. */
void virtq_refuse_calls(struct virtq *vq);
/* Whether refusing calls has no effect, and used chains are called for all the
 * time (with event_idx: at the first after each reap), as by a driver that
 * does not suppress calls (2.7.7). */
void virtq_want_all_calls(struct virtq *vq, bool wants_all_calls);

/* Our own invariants, for tests: 0, or -EINVAL with a sentence. */
int virtq_check(const struct virtq *vq);

#endif
