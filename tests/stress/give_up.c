/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that begin operations and give them up, in every way that the library
 * has, for the sanitizers: cancelled, timed out, closed, left when another thread
 * shuts the device down. Buffers are freed as soon as the library allows it, and
 * each bears its owner's mark, so that one that is handed out while the back-end
 * may still write to it is seen. The disk is all zeroes, and nobody writes to it.
 *
 *   give_up SOCKET WAIT QUEUES ROUNDS
 */
#include "api.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUM_THREADS 6
#define IN_FLIGHT 8
#define BUFFER_BYTES 4096
/* Memory of the stack, which the library copies to; one for each operation. */
#define ELSEWHERE_BYTES 100

struct worker {
	struct device *dev;
	unsigned int number;
	unsigned int rounds;
	unsigned int seed;
	int failures;
};

static void check(struct worker *worker, int is_right, const char *what)
{
	if (is_right)
		return;
	worker->failures++;
	fprintf(stderr, "thread %u: %s: %s\n", worker->number, what, error_message());
}

static char *alloc(struct worker *worker)
{
	char *buffer = device_alloc(worker->dev, BUFFER_BYTES, 512);

	check(worker, buffer != NULL, "alloc");
	return buffer;
}

/* What an operation may end with, but for success. */
static int is_given_up(int64_t result)
{
	return result == -ETIMEDOUT || result == -ECANCELED;
}

/* A buffer that is nobody else's keeps its mark. */
static void use_a_buffer(struct worker *worker)
{
	char mark[BUFFER_BYTES], *buffer = alloc(worker);

	memset(mark, (int)worker->number + 1, BUFFER_BYTES);
	memcpy(buffer, mark, BUFFER_BYTES);
	usleep(rand_r(&worker->seed) % 300);
	check(worker, !memcmp(buffer, mark, BUFFER_BYTES), "somebody else wrote here");
	device_free(worker->dev, buffer);
}

static void read_and_wait(struct worker *worker)
{
	char *buffer = alloc(worker);
	int64_t result = device_read(worker->dev, buffer, BUFFER_BYTES, 0);

	check(worker, result == BUFFER_BYTES || is_given_up(result), "read");
	device_free(worker->dev, buffer);
}

static unsigned int submit(struct worker *worker, struct async *async,
			   struct operation *ops, char (*elsewhere)[ELSEWHERE_BYTES])
{
	unsigned int count = 0;

	while (count < IN_FLIGHT) {
		struct operation *op = &ops[count];
		int is_direct = rand_r(&worker->seed) % 3;

		*op = (struct operation){
			.type = OPERATION_READ,
			.buffer = is_direct ? alloc(worker) : elsewhere[count],
			.size_bytes = is_direct ? BUFFER_BYTES : ELSEWHERE_BYTES,
			.offset_bytes = (uint64_t)BUFFER_BYTES * count,
			.user = is_direct ? op : NULL,
		};
		if (async_submit(async, op))
			break;
		count++;
	}
	return count;
}

/* Frees the buffers of those that were collected. */
static unsigned int collect(struct worker *worker, struct async *async)
{
	struct operation *op;
	unsigned int count = 0;

	while ((op = async_get_completed(async))) {
		check(worker, op->result >= 0 || is_given_up(op->result), "an operation");
		if (op->user)
			device_free(worker->dev, op->buffer);
		op->user = NULL;
		count++;
	}
	return count;
}

static void give_up(struct worker *worker)
{
	struct operation ops[IN_FLIGHT] = { 0 };
	char elsewhere[IN_FLIGHT][ELSEWHERE_BYTES];
	unsigned int in_flight;
	struct async *async;

	check(worker, !async_open(&async, worker->dev), "open an async");
	if (rand_r(&worker->seed) % 2)
		check(worker, async_fd(async) >= 0, "eventfd");
	in_flight = submit(worker, async, ops, elsewhere);
	for (unsigned int i = 0; i < in_flight; i += 1 + rand_r(&worker->seed) % 3)
		async_cancel(async, &ops[i]);
	if (rand_r(&worker->seed) % 2)
		while (in_flight && async_completed(async, 1, 1000) >= 0)
			in_flight -= collect(worker, async);
	async_close(async);
	/* What was not collected is freed while the back-end still has it. */
	for (unsigned int i = 0; i < IN_FLIGHT; i++)
		if (ops[i].user)
			device_free(worker->dev, ops[i].buffer);
}

static void *work(void *context)
{
	struct worker *worker = context;

	for (unsigned int round = 0; round < worker->rounds; round++) {
		use_a_buffer(worker);
		if ((round + worker->number) % 3)
			give_up(worker);
		else
			read_and_wait(worker);
	}
	return NULL;
}

/* With an odd number of rounds the device is shut down meanwhile. */
static int run(struct device *dev, unsigned int rounds)
{
	struct worker workers[NUM_THREADS];
	pthread_t threads[NUM_THREADS];
	int failures = 0;

	for (unsigned int i = 0; i < NUM_THREADS; i++) {
		workers[i] = (struct worker){ .dev = dev, .number = i, .seed = i,
					      .rounds = rounds };
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			abort();
	}
	usleep(100000);
	if (rounds % 2)
		device_shutdown(dev);
	for (unsigned int i = 0; i < NUM_THREADS; i++) {
		pthread_join(threads[i], NULL);
		failures += workers[i].failures;
	}
	return failures;
}

int main(int argc, char **argv)
{
	struct device_config config = { .connect_timeout_ms = 20000, .depth = 16 };
	struct attach_options options = { .request_timeout_ms = 3 };
	int failures = 0;

	if (argc != 5)
		return 2;
	config.socket = argv[1];
	config.memory = memory_create(HUGEPAGES_OFF);
	config.num_queues = (unsigned int)atoi(argv[3]);
	options.wait = wait_named(argv[2]);
	for (unsigned int i = 0; i < 2 && config.memory; i++) {
		struct device *dev;

		if (device_attach(&dev, &config, &options)) {
			fprintf(stderr, "attach: %s\n", error_message());
			return 1;
		}
		failures += run(dev, (unsigned int)atoi(argv[4]) + i);
		device_detach(dev);
	}
	memory_destroy(config.memory);
	return failures != 0;
}
