/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ordered loads and stores. The back-end accesses memory that another thread or
 * process writes through these alone; a bare volatile or a compiler-only
 * barrier is not enough. Any thread may use them.
 *
 * They are used here (the letters are those of ring/split.c):
 *   A  shared_read_acquire reads the avail index before descriptors are read.
 *   B  status and data are written before the used index is stored. The store
 *      of D is also a release store, so it serves for B as well.
 *   C  shared_write_fenced asks for kicks, then shared_read_fenced reads the
 *      avail index again. If the load passed the store, a kick would be lost.
 *   D  shared_write_fenced stores the used index, and then shared_read_fenced
 *      reads whether a call is wanted. If the load passed the store, a call
 *      would be lost.
 */
#ifndef BACKEND_BARRIER_H
#define BACKEND_BARRIER_H

#define shared_read(where) __atomic_load_n((where), __ATOMIC_RELAXED)
#define shared_read_acquire(where) __atomic_load_n((where), __ATOMIC_ACQUIRE)
#define shared_read_fenced(where) __atomic_load_n((where), __ATOMIC_SEQ_CST)

#define shared_write(where, value) \
	__atomic_store_n((where), (value), __ATOMIC_RELAXED)
#define shared_write_release(where, value) \
	__atomic_store_n((where), (value), __ATOMIC_RELEASE)
#define shared_write_fenced(where, value) \
	__atomic_store_n((where), (value), __ATOMIC_SEQ_CST)

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Tells the CPU that this thread is waiting for memory to change. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
