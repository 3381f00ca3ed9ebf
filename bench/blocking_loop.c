/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random reads of 4 KiB by threads that wait for each: device_read() as
 * ordinary programs call it, to be set beside fio.
 *
 * blocking_loop SOCKET THREADS BYTES MILLISECONDS WAIT: all threads on one
 * queue; prints one JSON object. It never writes to the disk.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "base/clock.h"

#define BLOCK_BYTES 4096u
#define MAX_THREADS 64u

/* Latencies in bins of 10 ns; the last one holds all that is longer. */
#define BIN_NS 10u
#define BINS 100000u

struct reader {
	pthread_t thread;
	struct device *dev;
	uint64_t blocks;       /* of the disk, that are read */
	uint64_t until_ns;
	uint64_t random;
	uint64_t done;
	uint64_t failed;
	uint32_t bins[BINS];
};

static struct reader readers[MAX_THREADS];

static int fail(const char *what)
{
	fprintf(stderr, "blocking_loop: %s: %s\n", what, error_message());
	return 1;
}

/* xorshift64 */
static uint64_t next_random(struct reader *reader)
{
	reader->random ^= reader->random << 13;
	reader->random ^= reader->random >> 7;
	reader->random ^= reader->random << 17;
	return reader->random;
}

static uint64_t read_one(struct reader *reader, void *buffer, uint64_t now_ns)
{
	uint64_t offset = next_random(reader) % reader->blocks * BLOCK_BYTES, bin;
	uint64_t begun_ns = now_ns;

	if (device_read(reader->dev, buffer, BLOCK_BYTES, offset) != BLOCK_BYTES)
		reader->failed++;
	now_ns = clock_now_ns();
	bin = (now_ns - begun_ns) / BIN_NS;
	reader->bins[bin < BINS ? bin : BINS - 1]++;
	reader->done++;
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

/* All readers' sums go into the first one. */
static void join(unsigned int threads)
{
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(readers[i].thread, NULL);
		if (!i)
			continue;
		readers[0].done += readers[i].done;
		readers[0].failed += readers[i].failed;
		for (unsigned int bin = 0; bin < BINS; bin++)
			readers[0].bins[bin] += readers[i].bins[bin];
	}
}

static uint64_t percentile_ns(unsigned int percent)
{
	uint64_t wanted = readers[0].done * percent / 100, seen = 0;

	for (unsigned int bin = 0; bin < BINS; bin++) {
		seen += readers[0].bins[bin];
		if (seen > wanted)
			return (uint64_t)bin * BIN_NS;
	}
	return (uint64_t)BINS * BIN_NS;
}

static uint64_t process_cpu_ns(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
	return (uint64_t)spent.tv_sec * NS_PER_S + (uint64_t)spent.tv_nsec;
}

static int run_all(struct device *dev, unsigned int threads, uint64_t blocks,
		   uint64_t length_ns)
{
	uint64_t begun_ns = clock_now_ns(), cpu_ns = process_cpu_ns();

	for (unsigned int i = 0; i < threads; i++) {
		readers[i].dev = dev;
		readers[i].blocks = blocks;
		readers[i].until_ns = begun_ns + length_ns;
		readers[i].random = 88172645463325252ull + i;
		if (pthread_create(&readers[i].thread, NULL, run, &readers[i]))
			abort();
	}
	join(threads);
	printf("{\"ios\": %llu, \"failed\": %llu, \"elapsed_ns\": %llu, "
	       "\"cpu_ns\": %llu, \"p50_ns\": %llu, \"p99_ns\": %llu}\n",
	       (unsigned long long)readers[0].done,
	       (unsigned long long)readers[0].failed,
	       (unsigned long long)(clock_now_ns() - begun_ns),
	       (unsigned long long)(process_cpu_ns() - cpu_ns),
	       (unsigned long long)percentile_ns(50),
	       (unsigned long long)percentile_ns(99));
	return readers[0].failed != 0;
}

int main(int argc, char **argv)
{
	struct device_config config = { .connect_timeout_ms = 5000 };
	struct attach_options options = { 0 };
	struct device *dev;
	unsigned int threads = argc == 6 ? (unsigned int)atoi(argv[2]) : 0;
	int status;

	if (!threads || threads > MAX_THREADS ||
	    strtoull(argv[3], NULL, 10) < BLOCK_BYTES) {
		fprintf(stderr, "usage: blocking_loop SOCKET THREADS BYTES "
			"MILLISECONDS WAIT\n");
		return 2;
	}
	config.socket = argv[1];
	options.wait = argv[5];
	if (device_attach(&dev, &config, &options))
		return fail("the device");
	status = run_all(dev, threads, strtoull(argv[3], NULL, 10) / BLOCK_BYTES,
			 strtoull(argv[4], NULL, 10) * NS_PER_MS);
	device_detach(dev);
	return status;
}
