/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory regions that a client adds and removes, and addresses that it names. An address that
 * the back-end translates can be read, and lies in the region that it belongs to.
 */
#include "descriptors.h"
#include "memory/client.h"
#include "ring/chain.h"

#define MEMORY_BYTES 65536

enum step { STEP_ADD, STEP_REMOVE, STEP_USER, STEP_CHAIN, STEPS };

static struct memory memory;
static int memory_fd = -1;

static struct vhost_user_region take_region(struct input *input)
{
	struct vhost_user_region region = { .guest_address = input_number(input) };

	region.user_address = input_number(input);
	region.size = input_number(input);
	region.mmap_offset = input_number(input);
	return region;
}

static void add(struct input *input)
{
	struct vhost_user_region region = take_region(input);
	int fd = descriptor_make((unsigned int)input_take(input, 1), memory_fd);

	if (!memory_add(&memory, &region, fd))
		require(region.size <= MEMORY_BYTES, "a region is not longer than its file");
	close(fd);
}

static void touch(const void *start, size_t bytes)
{
	const volatile uint8_t *at = start;

	(void)at[0];
	(void)at[bytes - 1];
}

static void find_user(struct input *input)
{
	uint64_t address = input_number(input), bytes = input_number(input);
	const void *found = memory_from_user(&memory, address, bytes);

	if (found && bytes)
		touch(found, bytes);
}

static void add_to_chain(struct input *input)
{
	static struct chain chain;
	const struct memory_region *recent = NULL;
	unsigned int count = (unsigned int)input_take(input, 1) % 8;
	uint8_t copy[64];

	chain_clear(&chain);
	while (count--) {
		uint64_t address = input_number(input);
		uint32_t bytes = (uint32_t)input_number(input);

		if (chain_add(&chain, &memory, &recent, address, bytes,
			      (int)input_take(input, 1) & 1))
			break;
	}
	for (unsigned int i = 0; i < chain.out.count + chain.in.count; i++)
		touch(chain.segments[i].iov_base, chain.segments[i].iov_len);
	span_peek(&chain.out, copy, sizeof(copy));
	span_put(&chain.in, copy, sizeof(copy));
	span_trim(&chain.in, input_number(input));
	span_skip(&chain.out, input_number(input));
	span_take_last_byte(&chain.in);
}

static void step(struct input *input)
{
	struct vhost_user_region region;

	switch (input_take(input, 1) % STEPS) {
	case STEP_ADD:
		add(input);
		break;
	case STEP_REMOVE:
		region = take_region(input);
		memory_remove(&memory, &region);
		break;
	case STEP_USER:
		find_user(input);
		break;
	default:
		add_to_chain(input);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	unsigned int open_before;

	if (memory_fd < 0)
		memory_fd = descriptor_make_page(MEMORY_BYTES);
	open_before = descriptor_count();
	while (input.left) {
		step(&input);
		require(memory.count <= MEMORY_REGIONS_MAX, "there is room for each region");
	}
	memory_clear(&memory);
	require(descriptors_become(open_before), "no descriptor stays open");
	return 0;
}
