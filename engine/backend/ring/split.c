/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The split virtqueue, from the device's side: virtio 1.2, section 2.7.
 *
 * One worker enters each ring, or the control thread while the workers are
 * parked. Each index from shared memory is checked before it is used, and each
 * descriptor is read once, into a copy.
 *
 * Barriers (base/barrier.h; ARCHITECTURE.md has their partners in the driver):
 *   A  the avail index is acquired, then entries and descriptors are read;
 *   B  status and data are written, then the used index is released;
 *   C  kicks are asked for, then the avail index is read again;
 *   D  the used index is stored, then "call wanted?" is read.
 */
#include "ring/ring.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

/* The fields that follow the rings, 2.7.6 and 2.7.8. */
static uint16_t *used_event(const struct ring *ring)
{
	return &ring->avail->ring[ring->size];
}

static uint16_t *avail_event(const struct ring *ring)
{
	return (uint16_t *)&ring->used->ring[ring->size];
}

static int find_parts(struct ring *ring, const struct memory *memory)
{
	const size_t event_bytes = sizeof(uint16_t);
	unsigned int size = ring->size;

	ring->descriptors =
		memory_from_user(memory, ring->descriptor_user,
				 size * sizeof(struct vring_desc));
	ring->avail = memory_from_user(memory, ring->avail_user,
				       sizeof(struct vring_avail) +
					       size * sizeof(uint16_t) +
					       event_bytes);
	ring->used = memory_from_user(
		memory, ring->used_user,
		sizeof(struct vring_used) +
			size * sizeof(struct vring_used_elem) + event_bytes);
	if (!ring->descriptors || !ring->avail || !ring->used)
		return error_record(-EFAULT,
				    "ring %u of %u descriptors is not wholly "
				    "in shared memory",
				    ring->index, size);
	if ((uintptr_t)ring->descriptors % VRING_DESC_ALIGN_SIZE ||
	    (uintptr_t)ring->avail % VRING_AVAIL_ALIGN_SIZE ||
	    (uintptr_t)ring->used % VRING_USED_ALIGN_SIZE)
		return error_record(-EINVAL, "ring %u is not aligned",
				    ring->index);
	return 0;
}

/* After a restart, the next avail index is the used index plus the number of
 * requests in flight, because no GET_VRING_BASE asked the previous back-end. */
static int recover(struct ring *ring, struct inflight_queue *inflight)
{
	int left;

	ring->inflight = inflight;
	if (!inflight)
		return 0;
	ring->left_heads = calloc(ring->size, sizeof(*ring->left_heads));
	if (!ring->left_heads)
		return error_record(-ENOMEM, "no memory for ring %u",
				    ring->index);
	left = inflight_recover(inflight, ring->size, ring->used_index,
				ring->left_heads, &ring->inflight_counter);
	if (left < 0)
		return left;
	ring->left_next = 0;
	ring->left_count = left;
	ring->taken_index = ring->used_index + ring->left_count;
	return 0;
}

int ring_start(struct ring *ring, const struct memory *memory,
	       struct inflight_queue *inflight)
{
	int result = find_parts(ring, memory);

	if (result)
		return result;
	ring->used_index = shared_read(&ring->used->idx);
	ring->published_index = ring->used_index;
	ring->offered_index = ring->taken_index;
	result = held_open(&ring->held, ring->size);
	if (!result)
		result = recover(ring, inflight);
	if (result) {
		held_close(&ring->held);
		free(ring->left_heads);
		ring->left_heads = NULL;
		ring->inflight = NULL;
		return result;
	}
	ring->memory = memory;
	ring->recent = NULL;
	ring->broken = false;
	ring->running = true;
	return 0;
}

void ring_stop(struct ring *ring)
{
	if (!ring->running)
		return;
	held_close(&ring->held);
	free(ring->left_heads);
	ring->left_heads = NULL;
	ring->left_count = 0;
	ring->inflight = NULL;
	ring->memory = NULL;
	ring->running = false;
}

static void mark_inflight(struct ring *ring, uint16_t head)
{
	struct inflight_entry *entry = &ring->inflight->entries[head];

	entry->counter = ring->inflight_counter++;
	shared_write_release(&entry->inflight, 1);
}

static unsigned int take_left(struct ring *ring, uint16_t *heads,
			      unsigned int max)
{
	unsigned int count = 0;

	while (count < max && ring->left_next < ring->left_count)
		heads[count++] = ring->left_heads[ring->left_next++];
	return count;
}

int ring_take(struct ring *ring, uint16_t *heads, unsigned int max)
{
	const unsigned int mask = ring->size - 1;
	/* Held and postponed requests count as part of the ring, because a client that offers
	 * the same request repeatedly must not make us hold more than that. */
	unsigned int room = ring->size - ring->held.count - ring->postponed;
	uint16_t offered;
	unsigned int count, i;

	if (unlikely(ring->left_count)) {
		if (ring->left_next < ring->left_count)
			return take_left(ring, heads, max < room ? max : room);
		ring->left_count = ring->left_next = 0;
	}
	ring->offered_index = shared_read_acquire(&ring->avail->idx);
	offered = ring->offered_index - ring->taken_index;
	if (!offered)
		return 0;
	if (unlikely(offered > ring->size))
		return -EPROTO;
	count = offered < max ? offered : max;
	if (unlikely(count > room))
		count = room;
	for (i = 0; i < count; i++) {
		uint16_t slot = ring->taken_index + i;
		uint16_t head = shared_read(&ring->avail->ring[slot & mask]);

		if (unlikely(head >= ring->size))
			return -ERANGE;
		heads[i] = head;
		__builtin_prefetch(&ring->descriptors[head]);
		if (unlikely(ring->inflight != NULL))
			mark_inflight(ring, head);
	}
	ring->taken_index += count;
	return count;
}

void ring_untake(struct ring *ring, unsigned int count)
{
	if (ring->left_count)
		ring->left_next -= count;
	else
		ring->taken_index -= count;
}

static struct vring_desc read_descriptor(const struct vring_desc *from)
{
	/* Each field is read once, because the client may change it. */
	return (struct vring_desc){ .addr = shared_read(&from->addr),
				    .len = shared_read(&from->len),
				    .flags = shared_read(&from->flags),
				    .next = shared_read(&from->next) };
}

/* Finds the table of an indirect descriptor, 2.7.5.3. It must be in one region,
 * because it is read in place. */
static const struct vring_desc *find_indirect(struct ring *ring,
					      const struct vring_desc *entry)
{
	const struct memory_region *region = ring->recent;
	const uint8_t *table;

	if (!ring->indirect || (entry->flags & VRING_DESC_F_NEXT) ||
	    !entry->len || entry->len % sizeof(*entry))
		return NULL;
	if (!region || !memory_region_holds(region, entry->addr, entry->len))
		region = memory_find_guest(ring->memory, entry->addr);
	if (!region || !memory_region_holds(region, entry->addr, entry->len))
		return NULL;
	/* Our address counts, because a region may begin anywhere in its file. */
	table = region->host + (entry->addr - region->guest_address);
	if ((uintptr_t)table % _Alignof(uint64_t))
		return NULL;
	ring->recent = region;
	return (const struct vring_desc *)table;
}

int ring_load(struct ring *ring, uint16_t head, struct chain *chain)
{
	const struct vring_desc *table = ring->descriptors;
	unsigned int count = ring->size, steps = 0, index = head;
	bool is_indirect = false;

	chain_clear(chain);
	for (;;) {
		struct vring_desc entry;
		int result;

		/* A chain that is longer than its table has a loop. */
		if (unlikely(index >= count || steps++ == count))
			return -ELOOP;
		entry = read_descriptor(&table[index]);
		if (entry.flags & VRING_DESC_F_INDIRECT) {
			/* A chain may have one indirect table (2.7.5.3.1). Its
			 * address cannot tell whether there was one already,
			 * because a driver can give the ring's own table as the
			 * indirect one. */
			if (is_indirect)
				return -EINVAL;
			is_indirect = true;
			table = find_indirect(ring, &entry);
			if (!table)
				return -EFAULT;
			count = entry.len / sizeof(entry);
			steps = index = 0;
			continue;
		}
		result = chain_add(chain, ring->memory, &ring->recent,
				   entry.addr, entry.len,
				   entry.flags & VRING_DESC_F_WRITE);
		if (unlikely(result))
			return result;
		if (!(entry.flags & VRING_DESC_F_NEXT))
			return 0;
		index = entry.next;
	}
}

void ring_prefetch(struct ring *ring, uint16_t head)
{
	const struct memory_region *region = ring->recent;
	uint64_t address = shared_read(&ring->descriptors[head].addr);

	if (region && memory_region_holds(region, address, 1))
		__builtin_prefetch(region->host +
				   (address - region->guest_address));
}

void ring_put(struct ring *ring, uint32_t head, uint32_t used_bytes)
{
	struct vring_used_elem *slot =
		&ring->used->ring[ring->used_index++ & (ring->size - 1)];

	/* If requests complete in order, the element often has these values already. A
	 * line that is not written stays valid in the driver's cache. */
	if (shared_read(&slot->id) != head)
		shared_write(&slot->id, head);
	if (shared_read(&slot->len) != used_bytes)
		shared_write(&slot->len, used_bytes);
	if (unlikely(ring->inflight != NULL) && head < ring->size) {
		ring->inflight->entries[head].next =
			ring->inflight->last_batch_head;
		shared_write_release(&ring->inflight->last_batch_head, head);
	}
}

static void clear_batch(struct ring *ring, uint16_t count)
{
	struct inflight_queue *inflight = ring->inflight;
	uint16_t head = shared_read(&inflight->last_batch_head);

	while (count-- && head < ring->size) {
		shared_write(&inflight->entries[head].inflight, 0);
		head = shared_read(&inflight->entries[head].next);
	}
	shared_write_release(&inflight->used_index, ring->used_index);
}

/* 2.7.7. `before` is the used index of the previous ring_publish(). */
static bool wants_call(const struct ring *ring, uint16_t before)
{
	if (ring->event_idx)
		return vring_need_event(shared_read_fenced(used_event(ring)),
					ring->used_index, before);
	return !(shared_read_fenced(&ring->avail->flags) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}

bool ring_publish(struct ring *ring)
{
	uint16_t before = ring->published_index;

	if (ring->used_index == before)
		return false;
	shared_write_fenced(&ring->used->idx, ring->used_index);
	ring->published_index = ring->used_index;
	if (unlikely(ring->inflight != NULL))
		clear_batch(ring, ring->used_index - before);
	return wants_call(ring, before);
}

void ring_ask_kicks(struct ring *ring)
{
	if (ring->event_idx)
		shared_write_fenced(avail_event(ring), ring->taken_index);
	else
		shared_write_fenced(&ring->used->flags, 0);
}

void ring_refuse_kicks(struct ring *ring)
{
	/* With EVENT_IDX, an avail_event that is not updated asks for no kicks:
	 * 2.7.10. */
	if (!ring->event_idx)
		shared_write(&ring->used->flags, VRING_USED_F_NO_NOTIFY);
}

bool ring_has_work(const struct ring *ring)
{
	if (ring->left_next < ring->left_count)
		return true;
	if (ring->held.count + ring->postponed == ring->size)
		return false;
	return shared_read_fenced(&ring->avail->idx) != ring->taken_index;
}
