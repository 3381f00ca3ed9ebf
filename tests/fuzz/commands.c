/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of any contents in chains of any shape, carried out by both kinds of device
 * without a ring: CDBs, parameter lists, task management, headers of virtio-blk.
 */
#include <linux/virtio_scsi.h>

#include "backend_bench.h"
#include "clock_stub.h"

#define MOST_SEGMENTS 12

static struct session session;
static struct ring rings[BENCH_QUEUES + 2];

/* Each segment has memory of its own size. */
static void add_segment(struct chain *chain, struct span *span, uint8_t *bytes, size_t size)
{
	struct iovec *place = &chain->segments[chain->out.count + chain->in.count];

	*place = (struct iovec){ bytes, size };
	span->count++;
	span->bytes += size;
}

static unsigned int make_segments(struct input *input, struct chain *chain, bool is_in,
				  uint8_t **made, unsigned int count)
{
	unsigned int wanted = (unsigned int)input_take(input, 1) % (MOST_SEGMENTS / 2);

	while (wanted--) {
		size_t size = input_take(input, 1) + 1;

		if (size > 200)
			size = (size - 200) * BENCH_BLOCK_BYTES / 4;
		made[count] = calloc(1, size);
		if (!made[count])
			abort();
		if (!is_in)
			input_copy(input, made[count], size);
		add_segment(chain, is_in ? &chain->in : &chain->out, made[count], size);
		count++;
	}
	return count;
}

/* A command of virtio-scsi as drivers send it: a header, data to the device, a response, and
 * data from the device. */
static unsigned int make_command(struct input *input, struct chain *chain, uint8_t **made)
{
	unsigned int place = (unsigned int)input_take(input, 1);
	size_t out_bytes = input_take(input, 1), in_bytes = input_take(input, 1) * 8;
	struct virtio_scsi_cmd_req *request = calloc(1, sizeof(*request));

	made[0] = (uint8_t *)request;
	made[1] = calloc(out_bytes, 1);
	made[2] = calloc(1, sizeof(struct virtio_scsi_cmd_resp));
	made[3] = calloc(in_bytes, 1);
	if (!made[0] || !made[1] || !made[2] || !made[3])
		abort();
	request->lun[0] = 1;
	request->lun[1] = place & 3;
	request->lun[2] = 0x40;
	request->lun[3] = place >> 2 & 3;
	input_copy(input, request->cdb, 16);
	input_copy(input, made[1], out_bytes);
	add_segment(chain, &chain->out, made[0], sizeof(*request));
	if (out_bytes)
		add_segment(chain, &chain->out, made[1], out_bytes);
	chain->in.segments = chain->segments + chain->out.count;
	add_segment(chain, &chain->in, made[2], sizeof(struct virtio_scsi_cmd_resp));
	if (in_bytes)
		add_segment(chain, &chain->in, made[3], in_bytes);
	return 4;
}

static unsigned int make_chain(struct input *input, struct chain *chain, uint8_t **made)
{
	unsigned int count = make_segments(input, chain, false, made, 0);

	chain->in.segments = chain->segments + chain->out.count;
	return make_segments(input, chain, true, made, count);
}

static void check(const struct operation *what, size_t in_bytes, bool is_loose)
{
	require(what->kind < OPERATION_KINDS, "an operation has a kind");
	require(is_loose || what->used_bytes <= in_bytes,
		"no more is said to be written than there is room for");
}

static void carry_out(struct bench *bench, struct input *input)
{
	static struct chain chain;
	const struct device_ops *ops = bench->device.ops;
	unsigned int choices = (unsigned int)input_take(input, 1), count;
	struct operation what = { 0 };
	uint8_t *made[MOST_SEGMENTS];
	size_t in_bytes;

	chain_clear(&chain);
	count = choices & 8 ? make_command(input, &chain, made) :
			      make_chain(input, &chain, made);
	in_bytes = chain.in.bytes;
	ops->describe(&session, &chain, &what);
	if (choices >> 4 == 15)
		ops->answer(&session, &rings[choices & 3], &chain,
			    choices % (ANSWER_RECOVERED + 1), &what);
	else
		ops->serve(&session, &rings[choices & 3], &chain, &what);
	check(&what, in_bytes, bench->device.profile->loose_used_length);
	while (count)
		free(made[--count]);
}

static void configure(const struct device_ops *ops, struct input *input)
{
	unsigned int offset = (unsigned int)input_take(input, 1);
	uint8_t data[8], space[512];

	input_copy(input, data, sizeof(data));
	ops->set_config(&session, offset, data, (unsigned int)input_take(input, 1) % 9);
	require(ops->get_config(&session, space) <= sizeof(space) / 2,
		"a configuration space fits into a message");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct bench *bench = bench_begin(&input);
	unsigned int count = device_queue_count(&bench->device);

	session = (struct session){ .device = &bench->device, .rings = rings,
				    .ring_count = count };
	for (unsigned int i = 0; i < sizeof(rings) / sizeof(rings[0]); i++)
		ring_init(&rings[i], i);
	bench->device.ops->open_session(&session);
	session.features = input_take(&input, 4);
	configure(bench->device.ops, &input);
	while (input.left)
		carry_out(bench, &input);
	return 0;
}
