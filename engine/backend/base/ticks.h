/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU's own counter of time, for the times of single requests. The engine takes the
 * same one, so the times of both sides can be compared. Any thread.
 */
#ifndef BACKEND_TICKS_H
#define BACKEND_TICKS_H

#include <stdint.h>
#include <time.h>

static inline uint64_t ticks_now(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

#endif
