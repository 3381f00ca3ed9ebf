/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random reads of 4 KiB by threads that call device_read(), as ordinary programs
 * do, for a comparison with fio.
 *
 * DISK=SOCKET blocking_loop RESULT THREADS BYTES MILLISECONDS WAIT: all threads share
 * one queue. Writes the file RESULT, and never writes to the disk.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "base/clock.h"
#include "random.h"
#include "result.h"

#define BLOCK_BYTES 4096u
#define MAX_THREADS 64u

struct reader {
	pthread_t thread;
	struct device *dev;
	uint64_t blocks;       /* reads go to the first blocks of the disk */
	uint64_t until_ns;
	uint64_t random;
	uint64_t failed;
	struct histogram latencies;
};

static struct reader readers[MAX_THREADS];

static int fail(const char *what)
{
	fprintf(stderr, "blocking_loop: %s: %s\n", what, error_message());
	return 1;
}

static uint64_t read_one(struct reader *reader, void *buffer, uint64_t now_ns)
{
	uint64_t offset = random_next(&reader->random) % reader->blocks * BLOCK_BYTES;
	uint64_t begun_ns = now_ns;

	if (device_read(reader->dev, buffer, BLOCK_BYTES, offset) != BLOCK_BYTES)
		reader->failed++;
	now_ns = clock_now_ns();
	histogram_note(&reader->latencies, now_ns - begun_ns);
	return now_ns;
}

static void *run(void *context)
{
	struct reader *reader = context;
	void *buffer = device_alloc(reader->dev, BLOCK_BYTES, BLOCK_BYTES);
	uint64_t now_ns = clock_now_ns();

	reader->failed = !buffer;
	while (now_ns < reader->until_ns && !reader->failed)
		now_ns = read_one(reader, buffer, now_ns);
	if (reader->failed)
		fail("a read");
	device_free(reader->dev, buffer);
	return NULL;
}

/* Waits for all readers, and adds their results to the first reader's. */
static void join(unsigned int threads)
{
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(readers[i].thread, NULL);
		if (!i)
			continue;
		readers[0].failed += readers[i].failed;
		histogram_add(&readers[0].latencies, &readers[i].latencies);
	}
}

static int run_all(struct device *dev, unsigned int threads, uint64_t blocks,
		   uint64_t length_ns, const char *result)
{
	uint64_t begun_ns = clock_now_ns();

	for (unsigned int i = 0; i < threads; i++) {
		readers[i].dev = dev;
		readers[i].blocks = blocks;
		readers[i].until_ns = begun_ns + length_ns;
		readers[i].random = 88172645463325252ull + i;
		if (pthread_create(&readers[i].thread, NULL, run, &readers[i]))
			abort();
	}
	join(threads);
	if (readers[0].failed)
		return 1;
	return result_write(result, &readers[0].latencies,
			    clock_now_ns() - begun_ns) != 0;
}

int main(int argc, char **argv)
{
	struct device_config config = { .connect_timeout_ms = 5000 };
	struct attach_options options = { 0 };
	struct device *dev;
	unsigned int threads = argc == 6 ? (unsigned int)atoi(argv[2]) : 0;
	int status;

	config.socket = getenv("DISK");
	if (!config.socket || !threads || threads > MAX_THREADS ||
	    strtoull(argv[3], NULL, 10) < BLOCK_BYTES) {
		fprintf(stderr, "usage: DISK=SOCKET blocking_loop RESULT THREADS BYTES "
			"MILLISECONDS WAIT\n");
		return 2;
	}
	options.wait = wait_named(argv[5]);
	if (options.wait < 0)
		return fail("WAIT");
	if (device_attach(&dev, &config, &options))
		return fail("the device");
	status = run_all(dev, threads, strtoull(argv[3], NULL, 10) / BLOCK_BYTES,
			 strtoull(argv[4], NULL, 10) * NS_PER_MS, argv[1]);
	device_detach(dev);
	return status;
}
