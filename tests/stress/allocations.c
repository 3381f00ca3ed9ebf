/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eight threads allocate and free. Each buffer bears its owner's mark at both
 * ends, so that one that is handed out twice is seen; at the end all memory
 * must be in one piece again.
 *
 *   allocations COUNT
 */
#include "memory/regions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUM_THREADS 8
#define HELD 500
#define MOST_BYTES 8192
#define MEMORY_BYTES (64ul << 20)

struct worker {
	struct memory *memory;
	unsigned int number;
	unsigned int count;
	unsigned int seed;
	unsigned int failures;
};

struct held {
	char *address;
	size_t size_bytes;
};

static void take(struct worker *worker, struct held *held)
{
	size_t alignment = 64ul << rand_r(&worker->seed) % 7;

	held->size_bytes = 1 + (size_t)rand_r(&worker->seed) % MOST_BYTES;
	held->address = memory_alloc(worker->memory, held->size_bytes, alignment);
	if (!held->address || (uintptr_t)held->address % alignment) {
		worker->failures++;
		return;
	}
	held->address[0] = (char)worker->number;
	held->address[held->size_bytes - 1] = (char)worker->number;
}

static void give(struct worker *worker, struct held *held)
{
	char mark = (char)worker->number;

	if (held->address && (held->address[0] != mark ||
			      held->address[held->size_bytes - 1] != mark))
		worker->failures++;
	memory_free(worker->memory, held->address);
	held->address = NULL;
}

static void *work(void *context)
{
	struct worker *worker = context;
	struct held held[HELD] = { 0 };

	for (unsigned int i = 0; i < worker->count; i++) {
		struct held *one = &held[(unsigned int)rand_r(&worker->seed) % HELD];

		give(worker, one);
		take(worker, one);
	}
	for (unsigned int i = 0; i < HELD; i++)
		give(worker, &held[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	struct worker workers[NUM_THREADS];
	pthread_t threads[NUM_THREADS];
	unsigned int failures = 0;
	struct memory memory;

	if (argc != 2)
		return 2;
	memory_init(&memory, HUGEPAGES_OFF);
	if (memory_add_region(&memory, MEMORY_BYTES) < 0)
		return 1;
	for (unsigned int i = 0; i < NUM_THREADS; i++) {
		workers[i] = (struct worker){
			.memory = &memory,
			.number = i + 1,
			.count = (unsigned int)atoi(argv[1]) / NUM_THREADS,
			.seed = i,
		};
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			return 1;
	}
	for (unsigned int i = 0; i < NUM_THREADS; i++) {
		pthread_join(threads[i], NULL);
		failures += workers[i].failures;
	}
	if (!memory_alloc(&memory, MEMORY_BYTES, 64))
		failures += fprintf(stderr, "the memory is in pieces\n");
	memory_close(&memory);
	return failures != 0;
}
