/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ordered loads and stores, and cpu_relax(). The engine accesses the memory that it
 * shares with a back-end only by these functions.
 *
 * ring/virtq.h says which barrier pairs with which. Acquire and release accesses are
 * preferred to fences, because the thread sanitizer does not understand fences. Shared
 * memory holds little-endian numbers (virtio 1.2, 2.7.2); the engine runs on
 * little-endian machines only, which this file asserts.
 */
#ifndef BARRIER_H
#define BARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "virtqueues are little-endian");

static inline uint16_t load_acquire_u16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store_release_u16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* Barrier U of fio/used_watcher.c. */
static inline uint64_t load_acquire_u64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store_release_u64(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* Relaxed, for a value that is a hint or is ordered by a neighbouring access. */
static inline uint16_t load_relaxed_u16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void store_relaxed_u16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline uint32_t load_relaxed_u32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint8_t load_relaxed_u8(const uint8_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline bool load_relaxed_bool(const bool *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void store_relaxed_bool(bool *p, bool value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

/* Copies what the other side may still change. Each byte is read once, so what was checked
 * in the copy is also what is used. */
static inline void copy_relaxed(void *to, const void *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = load_relaxed_u8((const uint8_t *)from + i);
}

/* Sequentially consistent, for a store that a later load must not overtake (barriers
 * C and D). On x86 the store contains the fence, and the load is a plain one. */
static inline void store_seq_cst_u16(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}

static inline uint16_t load_seq_cst_u16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

/* Tells the CPU that this loop polls memory. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

#endif
