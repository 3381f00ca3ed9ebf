/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layout of a virtqueue in memory, and its invariants; see ring/virtq.h. */
#include "ring/virtq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static size_t round_up(size_t value, size_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

uint16_t virtq_max_chains(uint16_t size, uint16_t chain_length, bool indirect)
{
	return indirect ? size : size / chain_length;
}

/* flags, idx, ring, used_event */
static size_t avail_bytes(const struct virtq_shape *shape)
{
	return sizeof(uint16_t) * (3u + shape->size);
}

/* flags, idx, ring, avail_event */
static size_t used_bytes(const struct virtq_shape *shape)
{
	return sizeof(uint16_t) * 3 + shape->size * sizeof(struct vring_used_elem);
}

static uint32_t table_stride(const struct virtq_shape *shape)
{
	if (!shape->indirect)
		return 0;
	return (uint32_t)round_up(shape->chain_length * sizeof(struct vring_desc),
				  VIRTQ_CACHE_LINE);
}

/* Where the parts lie, in bytes after the descriptors' first one. */
struct layout {
	size_t avail, used;
	size_t request, response; /* of chain 0 */
	size_t stride;            /* between the areas of two chains */
	size_t tables;
};

/* Each ring begins on a cache line of its own, because it is written by one side. A
 * request and its response are neighbours. */
static void lay_many(const struct virtq_shape *shape, struct layout *at)
{
	at->used = round_up(at->avail + avail_bytes(shape), VIRTQ_CACHE_LINE);
	at->request = round_up(at->used + used_bytes(shape), VIRTQ_CACHE_LINE);
	at->response = at->request + round_up(shape->request_bytes, sizeof(uint32_t));
	at->stride = round_up(at->response + shape->response_bytes - at->request,
			      VIRTQ_CACHE_LINE);
	at->tables = at->request + shape->num_chains * at->stride;
}

/* If there is only one chain, the request lies before the avail index, in the same cache
 * line, and the response before the used index. So one line goes to the back-end and one
 * comes back. With several chains, the two sides would write such a line at the same
 * time. */
static void lay_single(const struct virtq_shape *shape, struct layout *at)
{
	at->request = at->avail;
	at->avail = round_up(at->request + shape->request_bytes, sizeof(uint64_t));
	at->response = round_up(at->avail + avail_bytes(shape), VIRTQ_CACHE_LINE);
	at->used = round_up(at->response + shape->response_bytes, sizeof(uint64_t));
	at->tables = round_up(at->used + used_bytes(shape), VIRTQ_CACHE_LINE);
}

static struct layout find_layout(const struct virtq_shape *shape)
{
	struct layout at = {
		.avail = round_up(shape->size * sizeof(struct vring_desc),
				  VIRTQ_CACHE_LINE),
	};

	if (shape->num_chains == 1)
		lay_single(shape, &at);
	else
		lay_many(shape, &at);
	return at;
}

size_t virtq_bytes(const struct virtq_shape *shape)
{
	return round_up(find_layout(shape).tables +
			(size_t)shape->num_chains * table_stride(shape), 4096);
}

static int check_shape(const struct virtq_shape *shape)
{
	if (!shape->size || shape->size > 32768 ||
	    (shape->size & (shape->size - 1)))
		return error_set(EINVAL, "queue_size=%u is not a power of two "
			"from 1 to 32768", shape->size);
	if (!shape->chain_length || !shape->num_chains ||
	    shape->num_chains > virtq_max_chains(shape->size,
						 shape->chain_length,
						 shape->indirect))
		return error_set(EINVAL, "a ring of %u entries cannot hold %u "
			"chains of %u descriptors", shape->size,
			shape->num_chains, shape->chain_length);
	return 0;
}

/* Writes the part of a chain that never changes: the links between descriptors. */
static void lay_chain(struct virtq *vq, uint16_t chain)
{
	struct vring_desc *first = virtq_chain(vq, chain);
	uint16_t base = vq->shape.indirect ? 0 :
			(uint16_t)(chain * vq->shape.chain_length);

	for (uint16_t i = 0; i < vq->shape.chain_length; i++)
		first[i].next = (uint16_t)(base + i + 1);
}

int virtq_init(struct virtq *vq, const struct virtq_shape *shape, void *memory)
{
	char *base = memory;
	struct layout at;
	int code = check_shape(shape);

	memset(vq, 0, sizeof(*vq));
	if (code)
		return code;
	vq->order = calloc(shape->num_chains, sizeof(*vq->order));
	vq->sorted = calloc(shape->num_chains, sizeof(*vq->sorted));
	if (!vq->order || !vq->sorted) {
		virtq_close(vq);
		return error_set(ENOMEM, "no memory for a queue of %u requests",
				 shape->num_chains);
	}
	at = find_layout(shape);
	vq->shape = *shape;
	vq->mask = shape->size - 1;
	vq->desc = memory;
	vq->avail = (struct vring_avail *)(base + at.avail);
	vq->used = (struct vring_used *)(base + at.used);
	vq->used_event = &vq->avail->ring[shape->size];
	vq->avail_event = (uint16_t *)&vq->used->ring[shape->size];
	vq->areas = base + at.request;
	vq->tables = base + at.tables;
	vq->area_stride = (uint32_t)at.stride;
	vq->table_stride = table_stride(shape);
	vq->response_offset = (uint32_t)(at.response - at.request);
	for (uint16_t chain = 0; chain < shape->num_chains; chain++)
		lay_chain(vq, chain);
	virtq_refuse_calls(vq);
	return 0;
}

void virtq_close(struct virtq *vq)
{
	free(vq->order);
	free(vq->sorted);
	vq->order = NULL;
	vq->sorted = NULL;
}

int virtq_check(const struct virtq *vq)
{
	unsigned int held = 0;

	for (uint16_t chain = 0; chain < vq->shape.num_chains; chain++)
		held += virtq_holds(vq, chain);
	if (held != vq->in_flight)
		return error_set(EINVAL, "%u chains are marked in flight, %u "
			"are counted", held, vq->in_flight);
	if ((uint16_t)(vq->avail_next - vq->used_next) != vq->in_flight)
		return error_set(EINVAL, "submitted %u and reaped %u leave %u "
			"in flight, %u are counted", (uint16_t)vq->avail_next,
			vq->used_next,
			(uint16_t)(vq->avail_next - vq->used_next),
			vq->in_flight);
	if (vq->in_flight > vq->shape.num_chains)
		return error_set(EINVAL, "%u in flight of %u chains",
			vq->in_flight, vq->shape.num_chains);
	return 0;
}
