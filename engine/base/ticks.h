/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU's own counter of time, for times that are taken of single requests. Reading it
 * takes a fraction of the time of a call of the clock. All CPUs of a host that have a constant
 * counter count alike, so the times of two processes can be compared. Whoever reads the
 * times converts them with two pairs of ticks_now() and clock_now_ns(). Any thread.
 */
#ifndef TICKS_H
#define TICKS_H

#include <stdint.h>

#include "base/clock.h"

/* The built-in back-end has the same function. */
static inline uint64_t ticks_now(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return clock_now_ns();
#endif
}

#endif
