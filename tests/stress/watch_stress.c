/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The watcher of explain_watch=CPU (fio/used_watcher.c) between two other threads: a back-end that
 * publishes used elements, and the job's thread, which asks when the watcher saw them.
 *
 * In each life the watcher is started, must see everything that an honest back-end publishes, meets
 * a back-end that writes whatever it likes, and ends; then the memory of the rings goes away. The
 * address sanitizer or the thread sanitizer finds a watcher that is not gone by then.
 *
 * usage: watch_stress LIVES STEPS CPU [indirect]
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ticks.h"
#include "fio/used_watcher.h"
#include "ring/virtq.h"

#define NUM_RINGS 3
#define RING_SIZE 16
#define CHAIN_LENGTH 3
#define WILD_STEPS 1000
#define LIMIT_NS 20000000000ull

static struct {
	struct virtq rings[NUM_RINGS];
	void *memory[NUM_RINGS];
	struct used_watcher *watcher;
	unsigned long steps;
	bool indirect;
	unsigned int cpu;
} job;

/* Of the step that the back-end has published; its number is atomic and comes last. */
static struct {
	unsigned long number;
	uint64_t before; /* ticks */
	unsigned int ring;
	uint16_t first, count; /* used elements */
} step;

static unsigned long wanted; /* atomic: the step that the job waits for */

static void fail(const char *what)
{
	fprintf(stderr, "watch_stress: %s (ring %u, used elements %u and %u more, step %lu)\n", what,
		step.ring, step.first, step.count, step.number);
	_exit(1);
}

static uint64_t draw(uint64_t *state, uint64_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state % below;
}

static unsigned int num_chains(void)
{
	return job.rings[0].shape.num_chains;
}

static uint32_t head_of(uint16_t chain)
{
	return job.indirect ? chain : (uint32_t)chain * CHAIN_LENGTH;
}

static void put(struct virtq *vq, uint16_t index, uint32_t id)
{
	__atomic_store_n(&vq->used->ring[index % RING_SIZE].id, id, __ATOMIC_RELAXED);
}

/* ---- the back-end ------------------------------------------------------------------ */

/* Element number i of a step is chain i. */
static void publish(uint64_t *random, unsigned long number)
{
	struct virtq *vq;

	step.ring = (unsigned int)draw(random, NUM_RINGS);
	vq = &job.rings[step.ring];
	step.first = vq->used->idx;
	step.count = (uint16_t)(1 + draw(random, num_chains()));
	for (uint16_t i = 0; i < step.count; i++)
		put(vq, (uint16_t)(step.first + i), head_of(i));
	step.before = ticks_now();
	__atomic_store_n(&vq->used->idx, (uint16_t)(step.first + step.count), __ATOMIC_RELEASE);
	__atomic_store_n(&step.number, number, __ATOMIC_RELEASE);
}

/* No id is in flight, the index jumps, and elements change after they were published. */
static void publish_anything(uint64_t *random)
{
	struct virtq *vq = &job.rings[draw(random, NUM_RINGS)];

	put(vq, (uint16_t)draw(random, RING_SIZE), (uint32_t)*random);
	__atomic_store_n(&vq->used->idx, (uint16_t)draw(random, 65536), __ATOMIC_RELEASE);
}

static void wait_until_wanted(unsigned long number)
{
	while (__atomic_load_n(&wanted, __ATOMIC_ACQUIRE) != number)
		sched_yield();
}

static void *run_back_end(void *context)
{
	uint64_t random = *(const uint64_t *)context;

	for (unsigned long number = 1; number <= job.steps; number++) {
		wait_until_wanted(number);
		publish(&random, number);
	}
	wait_until_wanted(job.steps + 1);
	for (unsigned int i = 0; i < WILD_STEPS; i++)
		publish_anything(&random);
	return NULL;
}

/* ---- the job ------------------------------------------------------------------------ */

/* Waits, because the watcher may have lost its CPU. Beside the new index, it may still have the
 * ticks of the chain's earlier use, which the job drops. */
static uint64_t when_seen(uint16_t chain, uint16_t since)
{
	uint64_t limit = clock_now_ns() + LIMIT_NS, saw;

	while ((saw = used_watcher_saw(job.watcher, step.ring, chain, since)) < step.before) {
		if (clock_now_ns() > limit)
			fail("the watcher did not see it");
		sched_yield();
	}
	return saw;
}

static void ask_for(unsigned long number)
{
	__atomic_store_n(&wanted, number, __ATOMIC_RELEASE);
	while (__atomic_load_n(&step.number, __ATOMIC_ACQUIRE) != number)
		sched_yield();
	for (uint16_t i = 0; i < step.count; i++) {
		if (when_seen(i, (uint16_t)(step.first + i)) > ticks_now())
			fail("the watcher saw it later than now");
	}
}

/* Any time is right, but it must be a time. */
static void ask_at_random(uint64_t *random, uint64_t begun)
{
	uint64_t saw = used_watcher_saw(job.watcher, (unsigned int)draw(random, NUM_RINGS),
					(uint16_t)draw(random, num_chains()),
					(uint16_t)draw(random, 65536));

	if (saw && (saw < begun || saw > ticks_now()))
		fail("the watcher never saw anything at that time");
}

static void begin(void)
{
	const struct virtq *watched[NUM_RINGS];
	struct virtq_shape shape = {
		.size = RING_SIZE,
		.chain_length = CHAIN_LENGTH,
		.request_bytes = 8,
		.response_bytes = 8,
		.indirect = job.indirect,
		.num_chains = virtq_max_chains(RING_SIZE, CHAIN_LENGTH, job.indirect),
	};
	size_t bytes = virtq_bytes(&shape);

	for (unsigned int i = 0; i < NUM_RINGS; i++) {
		job.memory[i] = memset(aligned_alloc(4096, bytes), 0, bytes);
		if (virtq_init(&job.rings[i], &shape, job.memory[i]))
			fail("cannot make a ring");
		watched[i] = &job.rings[i];
	}
	if (used_watcher_start(&job.watcher, watched, NUM_RINGS, job.cpu))
		fail("cannot start the watcher");
}

static void end_watcher(void)
{
	used_watcher_stop(job.watcher);
	job.watcher = NULL;
}

static void free_rings(void)
{
	for (unsigned int i = 0; i < NUM_RINGS; i++) {
		virtq_close(&job.rings[i]);
		free(job.memory[i]);
	}
}

static void live(uint64_t seed)
{
	uint64_t begun = ticks_now(), random = 2 * seed + 1;
	pthread_t back_end;

	step.number = wanted = 0;
	begin();
	pthread_create(&back_end, NULL, run_back_end, &seed);
	for (unsigned long number = 1; number <= job.steps; number++)
		ask_for(number);
	__atomic_store_n(&wanted, job.steps + 1, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < WILD_STEPS; i++)
		ask_at_random(&random, begun);
	/* In half of the lives, the watcher ends while the rings change. */
	if (seed % 2)
		end_watcher();
	pthread_join(back_end, NULL);
	end_watcher();
	free_rings();
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	job.steps = strtoul(argv[2], NULL, 10);
	job.cpu = (unsigned int)atoi(argv[3]);
	job.indirect = argc > 4 && !strcmp(argv[4], "indirect");
	for (unsigned long lives = strtoul(argv[1], NULL, 10); lives; lives--)
		live(lives);
	return 0;
}
