/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split ring (virtio 1.2, 2.7): submit, publish, reap, notifications.
 * The I/O path; called by the virtqueue's owner only. See ring/virtq.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"
#include "base/error.h"
#include "ring/virtq.h"

/* The chain's descriptors are filled in. */
static inline void submit(struct virtq *vq, uint16_t chain)
{
	uint16_t *entry = &vq->avail->ring[vq->avail_next & vq->mask];
	uint16_t head = vq->shape.indirect ? chain :
			(uint16_t)(chain * vq->shape.chain_length);

	/* Relaxed, because the release in virtq_publish() orders it. If requests
	 * complete in order, the entry often has the value already; see
	 * virtq_set_desc(). */
	if (load_relaxed_u16(entry) != head)
		store_relaxed_u16(entry, head);
	vq->order[chain] = ++vq->avail_next;
	vq->in_flight++;
}

void virtq_submit(struct virtq *vq, uint16_t chain, uint16_t length)
{
	if (vq->shape.indirect)
		virtq_set_desc(&vq->desc[chain], virtq_chain(vq, chain),
			       length * (uint32_t)sizeof(struct vring_desc),
			       VRING_DESC_F_INDIRECT);
	submit(vq, chain);
}

void virtq_publish(struct virtq *vq)
{
	/* Barrier A and the first half of C. */
	store_seq_cst_u16(&vq->avail->idx, (uint16_t)vq->avail_next);
	vq->avail_published = (uint16_t)vq->avail_next;
}

inline bool virtq_needs_kick(struct virtq *vq)
{
	uint16_t before = vq->avail_kicked, event;

	vq->avail_kicked = vq->avail_published;
	if (!vq->shape.event_idx)
		/* Second half of barrier C. */
		return !(load_seq_cst_u16(&vq->used->flags) &
			 VRING_USED_F_NO_NOTIFY);
	event = load_seq_cst_u16(vq->avail_event);
	return vring_need_event(event, vq->avail_published, before);
}

bool virtq_is_drained(const struct virtq *vq)
{
	return vq->shape.event_idx &&
	       load_relaxed_u16(vq->avail_event) == vq->avail_published;
}

/* Records why the used ring is invalid, and marks the virtqueue broken. */
static int break_ring(struct virtq *vq, const char *what, unsigned int number)
{
	vq->is_broken = true;
	return error_set(EPROTO, "the back-end's used ring %s (%u): it must "
		"not be trusted further", what, number);
}

/* The chain that a used element names, or -1 if the id is not the head of a chain
 * that is in flight. */
static int chain_of(const struct virtq *vq, uint32_t id)
{
	if (!vq->shape.indirect) {
		if (id % vq->shape.chain_length)
			return -1;
		id /= vq->shape.chain_length;
	}
	if (id >= vq->shape.num_chains || !virtq_holds(vq, (uint16_t)id))
		return -1;
	return (int)id;
}

int virtq_reap(struct virtq *vq, uint16_t *chains, unsigned int max)
{
	/* Barrier B. */
	uint16_t ready = load_acquire_u16(&vq->used->idx) - vq->used_next;
	unsigned int count = 0;

	if (vq->is_broken)
		return error_set(EPROTO, "the back-end's used ring was broken "
				 "before");
	if (ready > (uint16_t)(vq->avail_published - vq->used_next))
		return break_ring(vq, "holds more elements than were submitted",
				  ready);
	while (count < ready && count < max) {
		uint32_t id = load_relaxed_u32(
			&vq->used->ring[vq->used_next & vq->mask].id);
		int chain = chain_of(vq, id);

		/* The chains before it are valid; the next look fails here. */
		if (chain < 0)
			return count ? (int)count :
				break_ring(vq, "names a descriptor that is not in "
					   "flight", id);
		vq->order[chain] = 0;
		vq->in_flight--;
		vq->used_next++;
		chains[count++] = (uint16_t)chain;
	}
	if (vq->wants_all_calls && count && vq->shape.event_idx)
		virtq_ask_calls(vq);
	return (int)count;
}

uint16_t virtq_used_index(const struct virtq *vq)
{
	return load_seq_cst_u16(&vq->used->idx);
}

bool virtq_has_used(const struct virtq *vq)
{
	return vq->is_broken || virtq_used_index(vq) != vq->used_next;
}

bool virtq_ask_calls(struct virtq *vq)
{
	/* Barrier D. */
	if (vq->shape.event_idx)
		store_seq_cst_u16(vq->used_event, vq->used_next);
	else
		store_seq_cst_u16(&vq->avail->flags, 0);
	return virtq_has_used(vq);
}

void virtq_refuse_calls(struct virtq *vq)
{
	if (vq->wants_all_calls)
		return;
	/* With event_idx the flag must stay 0 (2.7.10.1). Instead, an index just
	 * passed is asked for, which is reached again after 65,535 elements.
	 * Relaxed, because it is a hint. */
	if (vq->shape.event_idx)
		store_relaxed_u16(vq->used_event, vq->used_next - 1);
	else
		store_relaxed_u16(&vq->avail->flags,
				  VRING_AVAIL_F_NO_INTERRUPT);
}

void virtq_want_all_calls(struct virtq *vq, bool wants_all_calls)
{
	vq->wants_all_calls = wants_all_calls;
	if (wants_all_calls)
		virtq_ask_calls(vq);
	else
		virtq_refuse_calls(vq);
}

/* ---- beginning again ----------------------------------------------------------- */

static int compare_orders(const void *a, const void *b, void *context)
{
	const struct virtq *vq = context;
	uint64_t first = vq->order[*(const uint16_t *)a];
	uint64_t second = vq->order[*(const uint16_t *)b];

	return (first > second) - (first < second);
}

/* The avail ring alone does not tell the order: an entry is used again while its chain is
 * still in flight, if others complete before it. */
static uint16_t sort_in_flight(struct virtq *vq)
{
	uint16_t count = 0;

	for (uint16_t chain = 0; chain < vq->shape.num_chains; chain++)
		if (virtq_holds(vq, chain))
			vq->sorted[count++] = chain;
	qsort_r(vq->sorted, count, sizeof(*vq->sorted), compare_orders, vq);
	return count;
}

uint64_t virtq_oldest(const struct virtq *vq)
{
	uint64_t oldest = 0;

	for (uint16_t chain = 0; chain < vq->shape.num_chains; chain++)
		if (virtq_holds(vq, chain) && (!oldest || vq->order[chain] < oldest))
			oldest = vq->order[chain];
	return oldest;
}

void virtq_rewind(struct virtq *vq)
{
	uint16_t count = sort_in_flight(vq);

	/* An event field is the last one of its ring. */
	memset(vq->avail, 0, (size_t)((char *)(vq->used_event + 1) - (char *)vq->avail));
	memset(vq->used, 0, (size_t)((char *)(vq->avail_event + 1) - (char *)vq->used));
	vq->avail_next = 0;
	vq->avail_kicked = vq->used_next = vq->in_flight = 0;
	for (uint16_t i = 0; i < count; i++)
		submit(vq, vq->sorted[i]);
	virtq_publish(vq);
	if (vq->wants_all_calls)
		virtq_ask_calls(vq);
	else
		virtq_refuse_calls(vq);
}
