/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Monotonic time in nanoseconds. The engine uses no other clock. Any thread. */
#ifndef CLOCK_H
#define CLOCK_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The time of the kernel's last tick: at most 10 ms before clock_now_ns(), and several times
 * as fast. */
static inline uint64_t clock_last_tick_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The CPU time that the calling thread has used. */
static inline uint64_t clock_cpu_ns(void)
{
	struct timespec spent;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
	return (uint64_t)spent.tv_sec * NS_PER_S + (uint64_t)spent.tv_nsec;
}

/* Milliseconds left until deadline_ns, rounded up, for poll(), which takes a
 * negative number for ever; 0 once past. */
static inline int clock_left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns(), left;

	if (now >= deadline_ns)
		return 0;
	left = (deadline_ns - now - 1) / NS_PER_MS + 1;
	return left < INT_MAX ? (int)left : INT_MAX;
}

#endif
