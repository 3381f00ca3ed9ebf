/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings and descriptor chains that a client wrote, served by both kinds of device. The shared
 * memory comes from malloc(), so the address sanitizer sees each byte beside it.
 */
#include "backend_bench.h"
#include "clock_stub.h"
#include "descriptors.h"
#include "ring/ring.h"

#define REGIONS 3
#define RING_SIZE 16
#define GUEST_BASE 0x10000
#define USER_BASE 0x20000

enum step { STEP_POKE, STEP_SERVE, STEP_SLEEP, STEP_OFFER, STEP_DESCRIPTOR, STEPS };

static struct {
	struct memory memory;
	struct ring rings[BENCH_QUEUES + 2];
	struct session session;
	int call_fd;
} client;

/* The regions are neighbours in the client's addresses, and are not in ours. */
static void make_memory(struct input *input)
{
	uint64_t place = 0;

	client.memory.count = REGIONS;
	for (unsigned int i = 0; i < REGIONS; i++) {
		size_t bytes = 4096 >> i;

		/* The last one may have any size. */
		if (i == REGIONS - 1)
			bytes = 1 + input_take(input, 2) % 4096;
		client.memory.regions[i] = (struct memory_region){
			.guest_address = GUEST_BASE + place,
			.user_address = USER_BASE + place,
			.size_bytes = bytes,
			.host = calloc(1, bytes),
		};
		if (!client.memory.regions[i].host)
			abort();
		place += bytes;
	}
}

static void free_memory(void)
{
	for (unsigned int i = 0; i < REGIONS; i++)
		free(client.memory.regions[i].host);
	client.memory.count = 0;
}

/* The ring's parts lie in the first region, one behind the other. */
static void start_ring(struct bench *bench, struct input *input, unsigned int index)
{
	unsigned int choices = (unsigned int)input_take(input, 1);
	struct ring *ring = &client.rings[index];

	ring_init(ring, index);
	ring->size = choices & 8 ? 1u << (choices & 7) : RING_SIZE;
	ring->descriptor_user = USER_BASE + input_take(input, 2);
	ring->avail_user = ring->descriptor_user + RING_SIZE * 16 + input_take(input, 1);
	ring->used_user = ring->avail_user + 64 + input_take(input, 1);
	ring->event_idx = choices >> 4 & 1;
	ring->indirect = choices >> 5 & 1;
	ring->taken_index = (uint16_t)(choices >> 6);
	ring->call_fd = client.call_fd;
	if (ring_start(ring, &client.memory, NULL))
		return;
	if (worker_add_ring(&bench->worker, ring, &client.session))
		abort();
}

static void stop_ring(struct bench *bench, struct ring *ring)
{
	if (ring->running && !ring->broken)
		serve_drain(&bench->worker, ring);
	worker_remove_ring(&bench->worker, ring);
	ring_stop(ring);
}

static void poke(struct input *input)
{
	struct memory_region *region =
		&client.memory.regions[input_take(input, 1) % REGIONS];
	size_t place = input_take(input, 2) % region->size_bytes;
	size_t bytes = input_take(input, 1);

	if (bytes > region->size_bytes - place)
		bytes = region->size_bytes - place;
	input_copy(input, region->host + place, bytes);
}

/* Offers one more chain, which is quicker than poking it. */
static void offer(struct input *input, struct ring *ring)
{
	uint16_t head = (uint16_t)input_take(input, 1);

	if (!ring->running)
		return;
	ring->avail->ring[ring->avail->idx & (ring->size - 1)] = head;
	ring->avail->idx++;
}

static void write_descriptor(struct input *input, struct ring *ring)
{
	unsigned int place = (unsigned int)input_take(input, 1);
	uint64_t address = GUEST_BASE + input_take(input, 2);
	uint32_t bytes = (uint32_t)input_take(input, 2);
	uint16_t flags = (uint16_t)input_take(input, 1);
	uint16_t next = (uint16_t)input_take(input, 1);

	if (ring->running)
		ring->descriptors[place & (ring->size - 1)] =
			(struct vring_desc){ address, bytes, flags, next };
}

static void step(struct bench *bench, struct input *input)
{
	unsigned int choice = (unsigned int)input_take(input, 1);
	struct ring *ring = &client.rings[choice / STEPS % device_queue_count(&bench->device)];

	switch (choice % STEPS) {
	case STEP_POKE:
		poke(input);
		break;
	case STEP_SERVE:
		bench_serve(bench);
		break;
	case STEP_SLEEP:
		time_pass_ns(input_take(input, 4));
		break;
	case STEP_OFFER:
		offer(input, ring);
		break;
	default:
		write_descriptor(input, ring);
	}
}

static void begin(struct bench *bench, struct input *input)
{
	unsigned int count = device_queue_count(&bench->device);

	if (!client.call_fd)
		client.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	make_memory(input);
	client.session = (struct session){ .device = &bench->device,
					   .rings = client.rings,
					   .ring_count = count };
	bench->device.ops->open_session(&client.session);
	client.session.features = input_take(input, 8);
	for (unsigned int i = 0; i < count; i++)
		start_ring(bench, input, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct bench *bench = bench_begin(&input);

	begin(bench, &input);
	while (input.left)
		step(bench, &input);
	bench_serve(bench);
	for (unsigned int i = 0; i < device_queue_count(&bench->device); i++)
		stop_ring(bench, &client.rings[i]);
	require(!bench->worker.ring_count, "no ring is left");
	free_memory();
	return 0;
}
