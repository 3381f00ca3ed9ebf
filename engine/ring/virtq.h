/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtqueue as the driver sees it (virtio 1.2, 2.6 to 2.8), on plain pointers. It
 * knows no socket and no device, and sends no kick.
 *
 * A virtqueue has a fixed number of chains. Each has its own descriptors, request
 * area (written by us) and response area (written by the back-end). A chain is laid
 * out once; after that, a request writes only what changes.
 *
 * The layout decides how many cache lines travel between the two sides for each
 * request. The request area and the response area are neighbours, so the cache line
 * of a short request makes one round trip. Descriptors have cache lines of their own,
 * which do not travel as long as nothing in them changes. A queue with one chain lies
 * in memory so that one line goes to the back-end and one comes back (virtq.c).
 * ARCHITECTURE.md has a table of the lines.
 *
 * One thread owns a virtqueue; the back-end is on the other side. Everything that the
 * back-end writes is checked before use, and an impossible value marks the virtqueue
 * broken for good.
 *
 * Barriers (the built-in back-end uses the same letters):
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

/* The shape of a virtqueue. */
struct virtq_shape {
	uint16_t size;           /* ring entries, a power of two */
	uint16_t num_chains;     /* requests in flight at most */
	uint16_t chain_length;   /* descriptors of each chain */
	uint16_t request_bytes;  /* of each chain's request area */
	uint16_t response_bytes; /* of each chain's response area */
	bool indirect;           /* a chain takes one ring entry (2.7.5.3) */
	bool event_idx;          /* 2.7.10 */
};

struct virtq {
	/* Set up once, then only read. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *avail_event;   /* in the used ring; the back-end writes it */
	uint16_t *used_event;    /* in the avail ring; we write it */
	char *areas;             /* the request area of each chain */
	char *tables;            /* indirect descriptors */
	uint32_t area_stride;    /* bytes between chains */
	uint32_t table_stride;
	uint32_t response_offset; /* from the request area of the same chain */
	struct virtq_shape shape;
	uint16_t mask;
	/* Written by the owner. */
	uint64_t avail_next;      /* where the next chain goes; its low 16 bits are the index */
	uint16_t avail_published; /* the avail index that the back-end can see */
	uint16_t avail_kicked;    /* published when a kick was last considered */
	uint16_t used_next;       /* the next used element to take */
	uint16_t in_flight;       /* chains that the back-end holds */
	bool is_broken;
	bool wants_all_calls;     /* even while nobody waits for one */
	uint64_t *order;          /* per chain: 0, or what avail_next became at its submission */
	uint16_t *sorted;         /* room for virtq_rewind() */
};

/* Chains that a ring of this size holds. */
uint16_t virtq_max_chains(uint16_t size, uint16_t chain_length, bool indirect);
/* Bytes of shared memory that shape needs, aligned to 4096 bytes. */
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

/* The first of the chain's descriptors, which are an array. All but the last one in
 * use have the flag NEXT. */
static inline struct vring_desc *virtq_chain(const struct virtq *vq, uint16_t chain)
{
	if (vq->shape.indirect)
		return (struct vring_desc *)(vq->tables +
					     (size_t)chain * vq->table_stride);
	return vq->desc + (size_t)chain * vq->shape.chain_length;
}

/* Fills in a descriptor (its next is set already). A field that stays the same is not
 * written, so that the back-end's copy of the cache line stays valid. */
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
/* Shows the back-end all submitted chains (barrier A). */
void virtq_publish(struct virtq *vq);
/* After virtq_publish(): true if the back-end wants a kick (barrier C). */
bool virtq_needs_kick(struct virtq *vq);

/* True if the back-end has taken all published chains and wants a kick for the next
 * one. Always false without event_idx. A hint: without a barrier it may be stale. */
bool virtq_is_drained(const struct virtq *vq);

/* Takes up to max used chains (barrier B). Returns their number, or -EPROTO with a
 * sentence if the used ring is invalid; the virtqueue is then broken. */
int virtq_reap(struct virtq *vq, uint16_t *chains, unsigned int max);
/* Begins again on a device that knows nothing of the virtqueue: both rings are zeroed, and
 * all chains in flight are submitted in their original order. The device must not look
 * at the rings meanwhile. */
void virtq_rewind(struct virtq *vq);
/* The place in vq->order of the chain that has been in flight for longest; 0: there is none. */
uint64_t virtq_oldest(const struct virtq *vq);
/* True if a look would find something, or find the virtqueue broken. */
bool virtq_has_used(const struct virtq *vq);

/* What the device says; see virtq_reap(), which checks it. */
uint16_t virtq_used_index(const struct virtq *vq);

static inline bool virtq_holds(const struct virtq *vq, uint16_t chain)
{
	return vq->order[chain] != 0;
}

/* Chains submitted, but not yet published. */
static inline uint16_t virtq_num_gathered(const struct virtq *vq)
{
	return (uint16_t)(vq->avail_next - vq->avail_published);
}

/* Asks for a call at the next used chain. True if there is one already (barrier D);
 * the caller must not sleep then. */
bool virtq_ask_calls(struct virtq *vq);
/* Says that calls are not wanted; one may still arrive. */
void virtq_refuse_calls(struct virtq *vq);
/* Whether calls are wanted all the time, as by a driver that does not suppress calls
 * (2.7.7). virtq_refuse_calls() then has no effect. With event_idx there is a call
 * for the first used chain after each reap. */
void virtq_want_all_calls(struct virtq *vq, bool wants_all_calls);

/* Checks our own invariants, for tests. 0, or -EINVAL with a sentence. */
int virtq_check(const struct virtq *vq);

#endif
