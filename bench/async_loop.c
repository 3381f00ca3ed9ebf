/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random reads of 4 KiB by one thread that submits operations and collects them later,
 * for a comparison with bare_loop, which uses the engine's queue directly.
 *
 * DISK=SOCKET async_loop RESULT DEPTH BYTES MILLISECONDS BATCH WAIT: collects and
 * submits up to BATCH operations at a time (0: each by calls of its own), and writes the
 * file RESULT. It never writes to the disk.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "base/clock.h"
#include "random.h"
#include "result.h"

#define BLOCK_BYTES 4096u
#define MAX_DEPTH 1024u

struct loop {
	struct async *async;
	uint64_t blocks;                /* reads go to the first blocks of the disk */
	uint64_t random;
	uint64_t failed;
	struct operation ops[MAX_DEPTH];
	uint64_t issued_ns[MAX_DEPTH];
	struct histogram latencies;
};

static int fail(const char *what)
{
	fprintf(stderr, "async_loop: %s: %s\n", what, error_message());
	return 1;
}

static void fill(struct loop *loop, struct operation *op, uint64_t now_ns)
{
	op->offset_bytes = random_next(&loop->random) % loop->blocks * BLOCK_BYTES;
	loop->issued_ns[op - loop->ops] = now_ns;
}

static void submit(struct loop *loop, struct operation **ops, unsigned int count,
		   unsigned int batch)
{
	unsigned int begun = 0;

	if (batch)
		loop->failed += async_submit_many(loop->async, ops, count) != (int)count;
	while (!batch && begun < count)
		loop->failed += async_submit(loop->async, ops[begun++]) != 0;
}

static unsigned int collect(struct loop *loop, struct operation **ops, unsigned int batch)
{
	int count = async_completed(loop->async, batch ? batch : 1, -1);

	if (count >= 0 && batch)
		count = async_collect(loop->async, ops, batch);
	else if (count >= 0)
		count = (ops[0] = async_get_completed(loop->async)) != NULL;
	loop->failed += count <= 0;
	return count < 0 ? 0 : (unsigned int)count;
}

/* Collects operations, and submits them again. Returns the time. */
static uint64_t turn(struct loop *loop, unsigned int batch)
{
	struct operation *done[MAX_DEPTH];
	unsigned int count = collect(loop, done, batch);
	uint64_t now_ns = clock_now_ns();

	for (unsigned int i = 0; i < count; i++) {
		loop->failed += done[i]->result != BLOCK_BYTES;
		histogram_note(&loop->latencies,
			       now_ns - loop->issued_ns[done[i] - loop->ops]);
		fill(loop, done[i], now_ns);
	}
	submit(loop, done, count, batch);
	return now_ns;
}

static void begin(struct loop *loop, char *buffers, unsigned int depth,
		  unsigned int batch, uint64_t now_ns)
{
	struct operation *ops[MAX_DEPTH];

	for (unsigned int i = 0; i < depth; i++) {
		ops[i] = &loop->ops[i];
		ops[i]->type = OPERATION_READ;
		ops[i]->buffer = buffers + (size_t)i * BLOCK_BYTES;
		ops[i]->size_bytes = BLOCK_BYTES;
		fill(loop, ops[i], now_ns);
	}
	submit(loop, ops, depth, batch);
}

static int run(struct device *dev, unsigned int depth, uint64_t disk_bytes,
	       uint64_t length_ns, unsigned int batch, const char *result)
{
	static struct loop loop;
	uint64_t begun_ns = clock_now_ns(), now_ns;
	char *buffers = device_alloc(dev, (size_t)depth * BLOCK_BYTES, BLOCK_BYTES);

	loop.random = 88172645463325252ull;
	loop.blocks = disk_bytes / BLOCK_BYTES;
	if (!buffers || async_open(&loop.async, dev))
		return fail("the device");
	begin(&loop, buffers, depth, batch, begun_ns);
	do
		now_ns = turn(&loop, batch);
	while (now_ns - begun_ns < length_ns && !loop.failed);
	if (loop.failed)
		fail("a read");
	async_close(loop.async);
	return loop.failed || result_write(result, &loop.latencies, now_ns - begun_ns);
}

int main(int argc, char **argv)
{
	struct device_config config = { 0 };
	struct attach_options options = { 0 };
	struct device *dev;
	int status;

	config.socket = getenv("DISK");
	config.depth = argc == 7 ? (unsigned int)atoi(argv[2]) : 0;
	if (!config.socket || !config.depth || config.depth > MAX_DEPTH ||
	    strtoull(argv[3], NULL, 10) < BLOCK_BYTES ||
	    (unsigned int)atoi(argv[5]) > config.depth) {
		fprintf(stderr, "usage: DISK=SOCKET async_loop RESULT DEPTH BYTES MILLISECONDS "
			"BATCH WAIT\n");
		return 2;
	}
	options.wait = wait_named(argv[6]);
	if (options.wait < 0)
		return fail("WAIT");
	config.memory_bytes = (size_t)config.depth * BLOCK_BYTES;
	if (device_attach(&dev, &config, &options))
		return fail("the device");
	status = run(dev, config.depth, strtoull(argv[3], NULL, 10),
		     strtoull(argv[4], NULL, 10) * NS_PER_MS, (unsigned int)atoi(argv[5]),
		     argv[1]);
	device_detach(dev);
	return status;
}
