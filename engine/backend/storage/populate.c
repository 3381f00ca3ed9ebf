/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fills memory by threads, each of which fills a slice.
 */
#include "storage/populate.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/barrier.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older ones answer EINVAL */
#endif

enum {
	THREADS_MAX = 16,
	/* When a step takes more CPU time than this (1 GiB in 0.5 s), the next
	 * steps use ordinary pages. Huge pages are slow to get if the kernel
	 * has to compact memory first or a hypervisor has taken free memory
	 * away. */
	STEP_LIMIT_NS = 7812500,
};

#define STEP_BYTES (UINT64_C(16) << 20)
/* A thread pays off from this size on; slices are multiples of it. */
#define SLICE_BYTES (UINT64_C(64) << 20)

struct slice {
	pthread_t thread;
	bool has_thread;
	bool waits; /* for huge pages */
	uint8_t *start;
	uint64_t bytes;
};

/* For kernels without MADV_POPULATE_WRITE. */
static void touch_pages(uint8_t *start, uint64_t bytes)
{
	const long page_bytes = sysconf(_SC_PAGESIZE);
	uint64_t at;

	for (at = 0; at < bytes; at += page_bytes)
		__atomic_fetch_or(start + at, 0, __ATOMIC_RELAXED);
}

static void fill(uint8_t *start, uint64_t bytes, int page_advice)
{
	madvise(start, bytes, page_advice);
	/* EINVAL means an older kernel; other errors mean too little memory. */
	if (madvise(start, bytes, MADV_POPULATE_WRITE) && errno == EINVAL)
		touch_pages(start, bytes);
}

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

/* A process of its own blocks these signals and waits for them by sigwait(), so
 * a pending one asks the back-end to end. */
static bool end_is_requested(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
}

static void *fill_slice(void *argument)
{
	const struct slice *slice = argument;
	int advice = MADV_HUGEPAGE;
	uint64_t done = 0;

	while (done < slice->bytes && !end_is_requested()) {
		uint64_t left = slice->bytes - done;
		uint64_t step = left < STEP_BYTES ? left : STEP_BYTES;
		uint64_t before = cpu_ns();

		fill(slice->start + done, step, advice);
		if (!slice->waits && cpu_ns() - before > STEP_LIMIT_NS)
			advice = MADV_NOHUGEPAGE;
		done += step;
	}
	return NULL;
}

static bool start_thread(struct slice *slice, int cpu)
{
	pthread_attr_t attributes;
	cpu_set_t cpus;
	int failed;

	pthread_attr_init(&attributes);
	if (cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET(cpu, &cpus);
		pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	}
	failed = pthread_create(&slice->thread, &attributes, fill_slice, slice);
	pthread_attr_destroy(&attributes);
	return !failed;
}

static unsigned int count_threads(uint64_t bytes,
				  const struct populate_cpus *cpus)
{
	uint64_t most = bytes / SLICE_BYTES;
	cpu_set_t allowed;
	uint64_t count = cpus->count;

	if (!count)
		count = sched_getaffinity(0, sizeof(allowed), &allowed) ?
				1 :
				CPU_COUNT(&allowed);
	if (count > most)
		count = most;
	if (count > THREADS_MAX)
		count = THREADS_MAX;
	return count ? count : 1;
}

void populate(void *start, uint64_t bytes, const struct populate_cpus *cpus,
	      bool waits)
{
	struct slice slices[THREADS_MAX];
	unsigned int count = count_threads(bytes, cpus), i;
	uint64_t each = bytes / count / SLICE_BYTES * SLICE_BYTES;

	for (i = 0; i < count; i++) {
		slices[i].start = (uint8_t *)start + i * each;
		slices[i].bytes = i < count - 1 ? each : bytes - i * each;
		slices[i].waits = waits;
		slices[i].has_thread = start_thread(
			&slices[i],
			cpus->count ? cpus->list[i % cpus->count] : -1);
		if (!slices[i].has_thread)
			fill_slice(&slices[i]);
	}
	for (i = 0; i < count; i++)
		if (slices[i].has_thread)
			pthread_join(slices[i].thread, NULL);
}
