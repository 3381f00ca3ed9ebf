/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue of the front-end whose shared memory a back-end writes as it likes: used elements,
 * indices, flags, responses, and what is ours, between submissions and reaps.
 *
 * Whatever it writes, each request comes back once, no request comes back that was not
 * submitted, and the engine writes neither outside of the ring's memory nor to a buffer.
 */
#include <errno.h>

#include "clock_stub.h"
#include "descriptors.h"
#include "base/error.h"
#include "device/queue.h"
#include "disk/blk.h"
#include "disk/scsi.h"

#define BLOCK_BYTES 512
#define BUFFER_BYTES 16384
#define CAPACITY_BYTES (1 << 20)
#define MOST_CHAINS 64
#define PATTERN 0x5a

enum step {
	STEP_SUBMIT,
	STEP_COMMIT,
	STEP_REAP,
	STEP_COMPLETE, /* honestly, in the order of the avail ring */
	STEP_ELEMENT,
	STEP_INDEX,
	STEP_RESPONSE,
	STEP_POKE,     /* anywhere in the shared memory */
	STEP_SLEEP,
	STEP_CALLS,
	STEP_LIMIT,    /* how long a busy device is asked again */
	STEP_ABANDON,
	STEPS
};

static struct {
	struct queue queue;
	struct disk disk;
	uint8_t *memory, *buffer;
	size_t bytes;
	bool is_out[MOST_CHAINS]; /* submitted, and not yet come back */
	unsigned int num_out;
	uint16_t completed;       /* by STEP_COMPLETE, of the avail ring */
	struct scsi_command command;
} bench;

/* ---- beginning and end ------------------------------------------------------------ */

static void make_disk(bool is_scsi)
{
	bench.disk = (struct disk){
		.info = { .type = is_scsi ? DEVICE_SCSI : DEVICE_BLK,
			  .can_flush = true, .can_discard = true,
			  .can_write_zeroes = !is_scsi,
			  .capacity_bytes = CAPACITY_BYTES, .block_size = BLOCK_BYTES,
			  .size_max = 1024, .seg_max = 4,
			  .max_discard_bytes = 4096, .max_discard_segments = 1,
			  .max_write_zeroes_bytes = 4096,
			  .max_write_zeroes_segments = 1 },
		.max_transfer_bytes = 4096,
	};
	require(!disk_derive_limits(&bench.disk), "the limits of the disk can be used");
}

static struct virtq_shape choose_shape(struct input *input, const struct command_set *set)
{
	unsigned int choices = (unsigned int)input_take(input, 1);
	struct virtq_shape shape = {
		.size = (uint16_t)(8u << (choices & 3)),
		.chain_length = 6,
		.request_bytes = set->request_bytes,
		.response_bytes = set->response_bytes,
		.indirect = choices >> 2 & 1,
		.event_idx = choices >> 3 & 1,
	};
	uint16_t most = virtq_max_chains(shape.size, shape.chain_length, shape.indirect);

	shape.num_chains = (uint16_t)(1 + (choices >> 4) % most);
	return shape;
}

static void begin(struct input *input)
{
	bool is_scsi = input_take(input, 1) & 1;
	const struct command_set *set = is_scsi ? &scsi_command_set : &blk_command_set;
	struct virtq_shape shape = choose_shape(input, set);

	memset(&bench, 0, sizeof(bench));
	time_begin();
	make_disk(is_scsi);
	bench.bytes = virtq_bytes(&shape);
	bench.memory = aligned_alloc(4096, bench.bytes);
	bench.buffer = malloc(BUFFER_BYTES);
	if (!bench.memory || !bench.buffer)
		abort();
	memset(bench.memory, 0, bench.bytes);
	memset(bench.buffer, PATTERN, BUFFER_BYTES);
	if (queue_init(&bench.queue, &bench.disk, set, &shape, bench.memory))
		abort();
}

static void take_back(struct request *req)
{
	require(bench.is_out[req->chain], "a request comes back once");
	require(req->error >= 0, "a request that failed has a positive errno");
	bench.is_out[req->chain] = false;
	bench.num_out--;
	if (req->error)
		require(*queue_explain(&bench.queue, req), "a failure has a sentence");
	queue_put(&bench.queue, req);
}

static unsigned int reap(unsigned int max)
{
	struct request *done[QUEUE_REAP_AT_ONCE];
	unsigned int count = queue_reap(&bench.queue, done, max);

	require(count <= max, "no more requests come back than were asked for");
	for (unsigned int i = 0; i < count; i++)
		take_back(done[i]);
	return count;
}

static void end(void)
{
	error_set(EIO, "the run ends");
	queue_abandon(&bench.queue, EIO);
	while (reap(7))
		;
	require(!bench.num_out, "no request is lost");
	for (size_t i = 0; i < BUFFER_BYTES; i++)
		require(bench.buffer[i] == PATTERN, "the engine writes to no buffer");
	queue_close(&bench.queue);
	free(bench.memory);
	free(bench.buffer);
}

/* ---- steps ------------------------------------------------------------------------ */

static void submit(struct input *input)
{
	unsigned int blocks = (unsigned int)input_take(input, 1);
	unsigned int type = (unsigned int)input_take(input, 1) % (REQUEST_FLUSH + 2);
	struct request *req = queue_get(&bench.queue);

	if (!req)
		return;
	/* Each command set has one more. */
	if (type > REQUEST_FLUSH)
		type = bench.disk.info.type == DEVICE_SCSI ? REQUEST_COMMAND :
		       REQUEST_GET_ID;
	req->type = (uint8_t)type;
	req->user = &bench.command;
	req->buffer = (char *)bench.buffer + (blocks & 7);
	req->offset_bytes = (uint64_t)blocks * 16 * BLOCK_BYTES;
	req->left_bytes = type < REQUEST_FLUSH ? (blocks & 15) * BLOCK_BYTES :
			  type == REQUEST_COMMAND ? (blocks & 7) * BLOCK_BYTES : 0;
	if (queue_submit(&bench.queue, req)) {
		queue_put(&bench.queue, req);
		return;
	}
	bench.is_out[req->chain] = true;
	bench.num_out++;
}

static void put_element(uint16_t slot, uint32_t id, uint32_t bytes)
{
	struct virtq *vq = &bench.queue.vq;

	vq->used->ring[slot & vq->mask] = (struct vring_used_elem){ id, bytes };
}

/* The chain's status becomes the given one; 0 is a success. */
static void complete(struct input *input)
{
	struct virtq *vq = &bench.queue.vq;
	uint8_t status = (uint8_t)input_take(input, 1);
	uint16_t head = vq->avail->ring[bench.completed & vq->mask], chain = head;
	uint8_t *response;

	if (bench.completed == vq->avail->idx)
		return;
	if (!vq->shape.indirect)
		chain = head / vq->shape.chain_length;
	if (chain >= vq->shape.num_chains)
		return;
	response = virtq_response(vq, chain);
	memset(response, 0, bench.disk.info.type == DEVICE_SCSI ? 12 : 1);
	/* Of virtio-scsi: the response or the status of the disk. */
	response[bench.disk.info.type == DEVICE_SCSI ? 10 + (status >> 7) : 0] =
		status & 0x7f;
	put_element(vq->used->idx, head, 1);
	vq->used->idx++;
	bench.completed++;
}

static void write_response(struct input *input)
{
	struct virtq *vq = &bench.queue.vq;
	uint16_t chain = (uint16_t)(input_take(input, 1) % vq->shape.num_chains);
	size_t bytes = input_take(input, 1) % (vq->shape.response_bytes + 1u);

	input_copy(input, virtq_response(vq, chain), bytes);
}

static void poke(struct input *input)
{
	size_t place = input_take(input, 2) % (bench.bytes - 8);

	input_copy(input, bench.memory + place, input_take(input, 1) & 7);
}

static void ask_calls(struct input *input)
{
	struct virtq *vq = &bench.queue.vq;

	virtq_want_all_calls(vq, input_take(input, 1) & 1);
	virtq_ask_calls(vq);
	virtq_has_used(vq);
	virtq_refuse_calls(vq);
	queue_saves_kick(&bench.queue);
}

static void step(struct input *input)
{
	struct virtq *vq = &bench.queue.vq;
	uint16_t number;

	switch (input_take(input, 1) % STEPS) {
	case STEP_SUBMIT:
		submit(input);
		break;
	case STEP_COMMIT:
		queue_commit(&bench.queue);
		break;
	case STEP_REAP:
		reap(1 + (unsigned int)input_take(input, 1) % QUEUE_REAP_AT_ONCE);
		break;
	case STEP_COMPLETE:
		complete(input);
		break;
	case STEP_ELEMENT:
		number = (uint16_t)input_take(input, 1);
		put_element(number, (uint32_t)input_take(input, 4), 0);
		break;
	case STEP_INDEX:
		vq->used->idx = (uint16_t)(vq->used->idx + input_take(input, 2));
		break;
	case STEP_RESPONSE:
		write_response(input);
		break;
	case STEP_POKE:
		poke(input);
		break;
	case STEP_SLEEP:
		time_pass_ns(input_take(input, 4));
		break;
	case STEP_CALLS:
		ask_calls(input);
		break;
	case STEP_LIMIT:
		bench.queue.retry_limit_ns = input_take(input, 4);
		if (input_take(input, 1) & 1)
			queue_end_retries(&bench.queue);
		break;
	default:
		error_set(EIO, "the harness gives up");
		queue_abandon(&bench.queue, EIO);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	begin(&input);
	while (input.left) {
		step(&input);
		require(bench.queue.vq.is_broken || !virtq_check(&bench.queue.vq),
			"the queue's counts agree");
	}
	end();
	return 0;
}
