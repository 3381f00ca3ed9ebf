/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ordered loads and stores: the only way in which the back-end touches
 * memory that another thread or process writes.
 *
 * Any thread. Never a bare volatile, never a compiler-only barrier.
 *
 * Where they stand (the letters are those of ring/split.c):
 *   A  shared_read_acquire   avail index, before descriptors are read
 *   B  shared_write_release  used index, after status and data are written
 *   C  shared_write_fenced, shared_read_fenced
 *                            ask for kicks, then look again: the store must
 *                            not pass the load, or a kick is lost
 *   D  shared_write_fenced, shared_read_fenced
 *                            publish, then read "call wanted?": likewise, or
 *                            a call is lost (it stands for B as well)
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

/* Tells the core that this thread is waiting for memory to change. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
