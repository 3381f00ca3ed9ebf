/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random numbers for the offsets of a loop: fast, and the same in each run. */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdint.h>

/* xorshift64; the state is never 0. One thread has it. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
