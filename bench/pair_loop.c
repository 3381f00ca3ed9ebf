/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two threads that do what fio and a back-end with a disk in memory cannot avoid: one
 * asks for copies of blocks, the other makes them, and cache lines move between their
 * CPUs. There is no socket, ring, request or way of waiting of ours. So how much the
 * half seconds of this loop differ is what the machine adds to each program of this kind.
 *
 * pair_loop RESULT DEPTH BYTES MILLISECONDS BLOCK_BYTES RW: BYTES is the size of the large
 * memory, and DEPTH the number of copies in flight. RW is randread, or randrw: then
 * every other copy is to the large memory. The loop writes the file RESULT, and the copies of each
 * half second into level_iops.log in the form of fio's log. Both threads always run.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "memory_of_loop.h"
#include "random.h"
#include "result.h"

#define LOG "level_iops.log"
#define HALF_NS (500 * NS_PER_MS)
#define MAX_DEPTH 4096u

struct slot {
	uint64_t block;
	uint64_t asked_ns;
	bool is_write;
};

struct pair {
	struct slot slots[MAX_DEPTH];
	char *disk, *buffers;
	size_t blocks, depth, block_bytes;
	bool writes;
	/* Each counter has its own cache line, and one thread that changes it. */
	_Alignas(64) uint64_t asked;
	_Alignas(64) uint64_t done;
	_Alignas(64) bool stops;
};

static struct pair pair;
static struct histogram latencies;

static void copy(size_t index)
{
	const struct slot *slot = &pair.slots[index];
	char *block = pair.disk + slot->block * pair.block_bytes;
	char *buffer = pair.buffers + index * pair.block_bytes;

	if (slot->is_write)
		memcpy(block, buffer, pair.block_bytes);
	else
		memcpy(buffer, block, pair.block_bytes);
}

/* The other thread. The acquire pairs with the release in ask(), and the release with
 * the acquire in run(). */
static void *serve(void *unused)
{
	uint64_t done = 0;

	(void)unused;
	while (!__atomic_load_n(&pair.stops, __ATOMIC_RELAXED)) {
		if (__atomic_load_n(&pair.asked, __ATOMIC_ACQUIRE) == done) {
			cpu_relax();
			continue;
		}
		copy(done % pair.depth);
		__atomic_store_n(&pair.done, ++done, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void ask(uint64_t number, uint64_t *random, uint64_t now_ns)
{
	struct slot *slot = &pair.slots[number % pair.depth];

	slot->block = random_next(random) % pair.blocks;
	slot->is_write = pair.writes && number & 1;
	slot->asked_ns = now_ns;
	__atomic_store_n(&pair.asked, number + 1, __ATOMIC_RELEASE);
}

/* Takes what is done, and asks for as much again. */
static void run(FILE *log, uint64_t begun_ns, uint64_t length_ns)
{
	uint64_t random = 88172645463325252ull, now_ns = begun_ns;
	uint64_t reaped = 0, logged = 0, next_ns = begun_ns + HALF_NS;

	for (uint64_t i = 0; i < pair.depth; i++)
		ask(i, &random, now_ns);
	while (now_ns - begun_ns < length_ns) {
		uint64_t done = __atomic_load_n(&pair.done, __ATOMIC_ACQUIRE);

		now_ns = clock_now_ns();
		if (reaped == done)
			cpu_relax();
		for (; reaped < done; reaped++) {
			histogram_note(&latencies, now_ns -
				       pair.slots[reaped % pair.depth].asked_ns);
			now_ns = clock_now_ns();
			ask(reaped + pair.depth, &random, now_ns);
		}
		if (now_ns < next_ns)
			continue;
		fprintf(log, "%llu, %llu, 0, 0, 0\n",
			(unsigned long long)((now_ns - begun_ns) / NS_PER_MS),
			(unsigned long long)(2 * (reaped - logged)));
		logged = reaped;
		next_ns += HALF_NS;
	}
}

static int run_both(const char *result, uint64_t length_ns)
{
	FILE *log = fopen(LOG, "w");
	pthread_t server;
	uint64_t begun_ns;

	if (!log || pthread_create(&server, NULL, serve, NULL)) {
		perror("pair_loop");
		return 1;
	}
	begun_ns = clock_now_ns();
	run(log, begun_ns, length_ns);
	__atomic_store_n(&pair.stops, true, __ATOMIC_RELAXED);
	pthread_join(server, NULL);
	return fclose(log) ||
	       result_write(result, &latencies, clock_now_ns() - begun_ns);
}

int main(int argc, char **argv)
{
	size_t bytes;

	if (argc != 7)
		return 2;
	pair.depth = strtoull(argv[2], NULL, 10);
	bytes = strtoull(argv[3], NULL, 10);
	pair.block_bytes = strtoull(argv[5], NULL, 10);
	if (!pair.depth || pair.depth > MAX_DEPTH || !pair.block_bytes ||
	    bytes < pair.block_bytes) {
		fprintf(stderr, "usage: pair_loop RESULT DEPTH BYTES MILLISECONDS "
			"BLOCK_BYTES RW\n");
		return 2;
	}
	pair.writes = !strcmp(argv[6], "randrw");
	pair.blocks = bytes / pair.block_bytes;
	pair.disk = make_memory(bytes);
	pair.buffers = make_memory(pair.depth * pair.block_bytes);
	if (!pair.disk || !pair.buffers) {
		fprintf(stderr, "pair_loop: no memory\n");
		return 1;
	}
	return run_both(argv[1], strtoull(argv[4], NULL, 10) * NS_PER_MS);
}
