/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random reads of 4 KiB through the engine's queue without fio. The difference
 * from a run of fio is the cost of fio and the code for it.
 *
 * DISK=SOCKET bare_loop RESULT DEPTH BYTES MILLISECONDS PAUSE_NS: polls without a
 * pause, and writes the file RESULT. After each completed request, it waits for
 * PAUSE_NS before it submits the next one, like a program that has work to do between
 * two requests. It has one thread and never writes to the disk.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "device/device.h"
#include "random.h"
#include "result.h"

#define BLOCK_BYTES 4096u
#define MAX_DEPTH 1024u

struct loop {
	struct queue *queue;
	char *buffers;
	uint64_t blocks;                /* reads go to the first blocks of the disk */
	uint64_t pause_ns;
	uint64_t random;
	uint64_t issued_ns[MAX_DEPTH];  /* by buffer */
	struct histogram latencies;
	uint64_t failed;
};

static int fail(const char *what)
{
	fprintf(stderr, "bare_loop: %s: %s\n", what, error_message());
	return 1;
}

static void submit(struct loop *loop, unsigned int slot, uint64_t now_ns)
{
	struct request *req = queue_get(loop->queue);

	req->user = (void *)(uintptr_t)slot;
	req->type = REQUEST_READ;
	req->buffer = loop->buffers + (size_t)slot * BLOCK_BYTES;
	req->offset_bytes = random_next(&loop->random) % loop->blocks * BLOCK_BYTES;
	req->left_bytes = BLOCK_BYTES;
	loop->issued_ns[slot] = now_ns;
	if (queue_submit(loop->queue, req)) {
		loop->failed++;
		queue_put(loop->queue, req);
	}
}

static uint64_t pause_from(const struct loop *loop, uint64_t begun_ns)
{
	uint64_t now_ns = begun_ns;

	while (now_ns - begun_ns < loop->pause_ns)
		now_ns = clock_now_ns();
	return now_ns;
}

/* Reaps completed requests, and submits a new one for each. Returns the time. */
static uint64_t turn(struct loop *loop)
{
	struct request *done[QUEUE_REAP_AT_ONCE];
	unsigned int count = queue_reap(loop->queue, done, QUEUE_REAP_AT_ONCE);
	uint64_t now_ns = clock_now_ns();

	for (unsigned int i = 0; i < count; i++) {
		unsigned int slot = (unsigned int)(uintptr_t)done[i]->user;

		loop->failed += done[i]->error != 0;
		histogram_note(&loop->latencies, now_ns - loop->issued_ns[slot]);
		queue_put(loop->queue, done[i]);
		now_ns = pause_from(loop, now_ns);
		submit(loop, slot, now_ns);
	}
	if (count)
		queue_commit(loop->queue);
	return now_ns;
}

static int run(struct loop *loop, unsigned int depth, uint64_t length_ns,
	       const char *result)
{
	uint64_t begun_ns = clock_now_ns(), now_ns;

	for (unsigned int slot = 0; slot < depth; slot++)
		submit(loop, slot, begun_ns);
	queue_commit(loop->queue);
	do
		now_ns = turn(loop);
	while (now_ns - begun_ns < length_ns && !loop->failed);
	if (loop->failed)
		return fail("a read");
	return result_write(result, &loop->latencies, now_ns - begun_ns) != 0;
}

static int run_on(struct device *dev, unsigned int depth, uint64_t disk_bytes,
		  uint64_t length_ns, uint64_t pause_ns, const char *result)
{
	static struct loop loop;

	loop.random = 88172645463325252ull;
	loop.blocks = disk_bytes / BLOCK_BYTES;
	loop.pause_ns = pause_ns;
	loop.queue = device_claim_queue(dev);
	loop.buffers = device_alloc(dev, (size_t)depth * BLOCK_BYTES, BLOCK_BYTES);
	if (!loop.queue || !loop.buffers)
		return fail("the device");
	return run(&loop, depth, length_ns, result);
}

int main(int argc, char **argv)
{
	struct device_config config = { .connect_timeout_ms = 5000 };
	struct device *dev = NULL;
	int status;

	config.socket = getenv("DISK");
	if (!config.socket || argc != 6 || atoi(argv[2]) < 1 ||
	    atoi(argv[2]) > (int)MAX_DEPTH || strtoull(argv[3], NULL, 10) < BLOCK_BYTES) {
		fprintf(stderr, "usage: DISK=SOCKET bare_loop RESULT DEPTH BYTES MILLISECONDS "
			"PAUSE_NS\n");
		return 2;
	}
	config.depth = (unsigned int)atoi(argv[2]);
	config.memory_bytes = (size_t)config.depth * BLOCK_BYTES;
	if (device_open(&dev, &config) || device_start(dev)) {
		status = fail("the device");
		device_close(dev);
		return status;
	}
	status = run_on(dev, config.depth, strtoull(argv[3], NULL, 10),
			strtoull(argv[4], NULL, 10) * NS_PER_MS,
			strtoull(argv[5], NULL, 10), argv[1]);
	device_close(dev);
	return status;
}
