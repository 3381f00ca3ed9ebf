/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of requests in flight, which a client wrote: maps it, recovers from it, and uses
 * it with a running ring while the client changes it.
 */
#include <errno.h>

#include "descriptors.h"
#include "ring/inflight.h"
#include "ring/ring.h"

#define AREA_BYTES 8192
#define GUEST_BASE 0x10000

enum step { STEP_POKE_AREA, STEP_POKE_RING, STEP_TAKE, STEP_PUT, STEP_PUBLISH,
	    STEP_RESTART, STEP_ASK, STEPS };

static struct {
	struct memory memory;
	struct ring ring;
	struct inflight_queue *area; /* of its own size */
	uint8_t *shared;
	size_t area_bytes, shared_bytes;
} bench;

/* Heads that were taken and not yet put; the worker's held requests in the back-end. */
static uint16_t taken[RING_SIZE_MAX];
static unsigned int num_taken;

/* ---- the mapping ------------------------------------------------------------------ */

static void map(struct input *input)
{
	static int memory_fd = -1;
	struct inflight inflight = { 0 };
	unsigned int open_before;
	uint16_t queues, size;
	uint64_t offset, bytes;
	int fd;

	if (memory_fd < 0)
		memory_fd = descriptor_make_page(AREA_BYTES);
	open_before = descriptor_count();
	fd = descriptor_make((unsigned int)input_take(input, 1), memory_fd);
	queues = (uint16_t)input_number(input);
	size = (uint16_t)input_number(input);
	offset = input_number(input);
	bytes = input_number(input);
	if (!inflight_map(&inflight, fd, offset, bytes, queues, size)) {
		volatile uint8_t *last = inflight.mapping +
					 inflight_bytes(queues, size) - 1;

		*last = 1;
		require(!!inflight_of_queue(&inflight, queues - 1u, size) &&
			!inflight_of_queue(&inflight, queues, size) &&
			!inflight_of_queue(&inflight, 0, size + 1u),
			"the queues of the record are those that it was made for");
	}
	inflight_unmap(&inflight);
	close(fd);
	require(descriptors_become(open_before), "no descriptor stays open");
}

/* ---- the ring --------------------------------------------------------------------- */

static void begin(struct input *input)
{
	unsigned int size = 1u << (input_take(input, 1) & 7);
	uint64_t used = size * sizeof(struct vring_desc) + 8 + 2 * size + 8;

	used -= used % 8;
	bench.area_bytes = inflight_bytes(1, (uint16_t)size);
	bench.shared_bytes = used + 6 + size * sizeof(struct vring_used_elem) + 2;
	bench.area = calloc(1, bench.area_bytes);
	bench.shared = calloc(1, bench.shared_bytes);
	if (!bench.area || !bench.shared)
		abort();
	bench.memory = (struct memory){ .count = 1 };
	bench.memory.regions[0] = (struct memory_region){ .guest_address = GUEST_BASE,
							  .user_address = GUEST_BASE,
							  .size_bytes = bench.shared_bytes,
							  .host = bench.shared };
	ring_init(&bench.ring, 0);
	bench.ring.size = size;
	bench.ring.descriptor_user = GUEST_BASE;
	bench.ring.avail_user = GUEST_BASE + size * sizeof(struct vring_desc);
	bench.ring.used_user = GUEST_BASE + used;
	num_taken = 0;
}

static void start(void)
{
	struct ring *ring = &bench.ring;

	if (ring_start(ring, &bench.memory, bench.area))
		abort();
	require(ring->left_count <= ring->size, "no more is left than the ring holds");
	for (unsigned int i = 0; i < ring->left_count; i++)
		require(ring->left_heads[i] < ring->size, "what is left is in the ring");
	num_taken = 0;
}

static void end(void)
{
	ring_stop(&bench.ring);
	free(bench.area);
	free(bench.shared);
}

/* Like a worker, which holds no more than the ring has room for, and breaks the ring after
 * a failure. */
static void take(struct input *input)
{
	uint16_t heads[64];
	int count;

	if (bench.ring.broken)
		return;
	bench.ring.held.count = num_taken;
	count = ring_take(&bench.ring, heads,
			  1 + (unsigned int)input_take(input, 1) % 64);
	bench.ring.held.count = 0;
	if (count < 0)
		ring_break(&bench.ring, "bad avail ring", count);
	for (int i = 0; i < count; i++) {
		require(heads[i] < bench.ring.size, "what is taken is in the ring");
		taken[num_taken++] = heads[i];
	}
	require(num_taken <= bench.ring.size, "no more is taken than the ring holds");
	if (count > 0 && input_take(input, 1) & 1) {
		ring_untake(&bench.ring, (unsigned int)count);
		num_taken -= (unsigned int)count;
	}
}

static void poke(struct input *input, uint8_t *start_of, size_t size)
{
	size_t place = input_take(input, 2) % size, bytes = input_take(input, 1) & 31;

	input_copy(input, start_of + place, bytes < size - place ? bytes : size - place);
}

static void step(struct input *input)
{
	switch (input_take(input, 1) % STEPS) {
	case STEP_POKE_AREA:
		poke(input, (uint8_t *)bench.area, bench.area_bytes);
		break;
	case STEP_POKE_RING:
		poke(input, bench.shared, bench.shared_bytes);
		break;
	case STEP_TAKE:
		take(input);
		break;
	case STEP_PUT:
		if (num_taken && !bench.ring.broken)
			ring_put(&bench.ring, taken[--num_taken], 1);
		break;
	case STEP_PUBLISH:
		ring_publish(&bench.ring);
		ring_has_work(&bench.ring);
		break;
	case STEP_RESTART:
		ring_stop(&bench.ring);
		start();
		break;
	default:
		ring_ask_kicks(&bench.ring);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	size_t given;

	if (input_take(&input, 1) & 1) {
		map(&input);
		return 0;
	}
	begin(&input);
	given = input_take(&input, 1);
	input_copy(&input, bench.area, given < bench.area_bytes ? given : bench.area_bytes);
	start();
	while (input.left)
		step(&input);
	end();
	return 0;
}
