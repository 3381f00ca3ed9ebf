/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many threads on one disk, for the thread sanitizer: each owns every eighth
 * piece of 100 bytes of a range, so that all write into each other's blocks,
 * in every way that the library has. It ends with 0 if every piece is right.
 *
 *   disk_threads SOCKET WAIT QUEUES ROUNDS
 */
#include "api.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUM_THREADS 8
#define PIECE_BYTES 100
#define PIECES_EACH 40

struct worker {
	struct device *dev;
	unsigned int number;
	unsigned int rounds;
	int failures;
};

static uint64_t offset_of(unsigned int worker, unsigned int piece)
{
	return (uint64_t)PIECE_BYTES * (piece * NUM_THREADS + worker);
}

static void check(struct worker *worker, int is_right, const char *what)
{
	if (is_right)
		return;
	worker->failures++;
	fprintf(stderr, "thread %u: %s: %s\n", worker->number, what, error_message());
}

static void fill(char *data, const struct worker *worker, unsigned int round)
{
	memset(data, (int)(worker->number * 31 + round * 7 + 1), PIECE_BYTES);
}

static void write_waiting(struct worker *worker, unsigned int round)
{
	char data[PIECE_BYTES];

	fill(data, worker, round);
	for (unsigned int i = 0; i < PIECES_EACH; i++)
		check(worker, device_write(worker->dev, data, PIECE_BYTES,
					   offset_of(worker->number, i)) == PIECE_BYTES,
		      "write");
}

static void submit_all(struct worker *worker, struct async *async,
		       struct operation *ops, char *data)
{
	for (unsigned int i = 0; i < PIECES_EACH; i++) {
		ops[i] = (struct operation){
			.type = OPERATION_WRITE,
			.buffer = data,
			.size_bytes = PIECE_BYTES,
			.offset_bytes = offset_of(worker->number, i),
		};
		check(worker, !async_submit(async, &ops[i]), "submit");
	}
}

static void write_later(struct worker *worker, unsigned int round)
{
	struct operation ops[PIECES_EACH], *op;
	char data[PIECE_BYTES];
	struct async *async;

	fill(data, worker, round);
	check(worker, !async_open(&async, worker->dev), "open an async");
	if (round & 1)
		check(worker, async_fd(async) >= 0, "eventfd");
	submit_all(worker, async, ops, data);
	check(worker, async_completed(async, PIECES_EACH, -1) == PIECES_EACH, "wait");
	while ((op = async_get_completed(async)))
		check(worker, op->result == PIECE_BYTES, "asynchronous write");
	async_close(async);
}

static void verify(struct worker *worker, unsigned int round)
{
	char expected[PIECE_BYTES];
	char *found = device_alloc(worker->dev, PIECE_BYTES, 64);

	check(worker, found != NULL, "alloc");
	fill(expected, worker, round);
	for (unsigned int i = 0; i < PIECES_EACH; i++) {
		check(worker, device_read(worker->dev, found, PIECE_BYTES,
					  offset_of(worker->number, i)) == PIECE_BYTES,
		      "read");
		check(worker, !memcmp(found, expected, PIECE_BYTES), "compare");
	}
	device_free(worker->dev, found);
}

static void *work(void *context)
{
	struct worker *worker = context;

	for (unsigned int round = 0; round < worker->rounds; round++) {
		if (round % 3)
			write_later(worker, round);
		else
			write_waiting(worker, round);
		verify(worker, round);
		check(worker, !device_flush(worker->dev), "flush");
	}
	return NULL;
}

static int run(struct device *dev, unsigned int rounds)
{
	struct worker workers[NUM_THREADS];
	pthread_t threads[NUM_THREADS];
	int failures = 0;

	for (unsigned int i = 0; i < NUM_THREADS; i++) {
		workers[i] = (struct worker){ .dev = dev, .number = i,
					      .rounds = rounds };
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			abort();
	}
	for (unsigned int i = 0; i < NUM_THREADS; i++) {
		pthread_join(threads[i], NULL);
		failures += workers[i].failures;
	}
	return failures;
}

int main(int argc, char **argv)
{
	struct device_config config = { .connect_timeout_ms = 20000, .depth = 16 };
	struct attach_options options = { 0 };
	struct device *dev;
	int failures;

	if (argc != 5)
		return 2;
	config.socket = argv[1];
	config.num_queues = (unsigned int)atoi(argv[3]);
	options.wait = wait_named(argv[2]);
	if (device_attach(&dev, &config, &options)) {
		fprintf(stderr, "attach: %s\n", error_message());
		return 1;
	}
	failures = run(dev, (unsigned int)atoi(argv[4]));
	device_detach(dev);
	return failures != 0;
}
