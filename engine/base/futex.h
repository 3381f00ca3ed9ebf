/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread sleeps until another thread of the process changes a word of memory. Any
 * thread. A wake-up may be spurious, so the caller must check the word again.
 */
#ifndef FUTEX_H
#define FUTEX_H

#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* Sleeps while *word is value, and until deadline_ns (CLOCK_MONOTONIC) at most.
 * UINT64_MAX means no deadline. */
static inline void futex_wait(const uint32_t *word, uint32_t value,
			      uint64_t deadline_ns)
{
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};

	/* The bitset form is the one that takes an absolute time. */
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
		deadline_ns == UINT64_MAX ? NULL : &deadline, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

/* Wakes the thread that sleeps on word. The word may have been freed already, because
 * only its address is used. */
static inline void futex_wake(const uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#endif
