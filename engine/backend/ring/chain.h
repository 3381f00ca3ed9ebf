/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One descriptor chain with translated addresses: the memory that the driver
 * wrote for the device (out) and the memory that the device may write (in).
 *
 * A chain belongs to one worker, which fills the same one again for each
 * request. A device consumes it from both ends: it takes the header from the
 * front of out and the status byte from the back of in. The rest is data.
 */
#ifndef BACKEND_CHAIN_H
#define BACKEND_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "memory/client.h"

/* Most segments of one chain, counted after a segment that crosses from one
 * memory region into the next was split. Linux preadv() has the same limit. */
enum { CHAIN_SEGMENTS_MAX = 1024 };

struct span {
	struct iovec *segments;
	unsigned int count;
	size_t bytes;
};

struct chain {
	struct span out; /* driver to device */
	struct span in;  /* device to driver */
	bool is_split;	  /* some buffer crosses regions, so it is several segments */
	struct iovec segments[CHAIN_SEGMENTS_MAX];
};

static inline void chain_clear(struct chain *chain)
{
	chain->out = (struct span){ .segments = chain->segments };
	chain->in = (struct span){ .segments = chain->segments };
	chain->is_split = false;
}

/* Adds guest memory at the end. `recent` is the region that was found last; it
 * is tried first, because nearly always it is the right one. Returns 0, or a
 * negative errno: -EFAULT if the memory is not shared, -EINVAL if it is empty
 * or out of order, -E2BIG if the chain is too long. */
int chain_add(struct chain *chain, const struct memory *memory,
	      const struct memory_region **recent, uint64_t address,
	      uint32_t bytes, int device_writes);

/* Removes bytes from the front of a span and copies them to `to`. Returns how
 * many: fewer than `bytes` only if the span is shorter. */
size_t span_take_front(struct span *span, void *to, size_t bytes);
/* Does the same, but removes nothing from the span. */
size_t span_peek(const struct span *span, void *to, size_t bytes);

/* Removes the front of a span and returns it as another span, which uses the
 * caller's `segments`. It is shorter than `bytes` if the span is shorter or if
 * `most` segments are not enough. */
struct span span_cut_front(struct span *span, size_t bytes,
			   struct iovec *segments, unsigned int most);
/* Removes the front of a span without copying. */
void span_skip(struct span *span, size_t bytes);
/* Shortens a span to its first `bytes` bytes. */
void span_trim(struct span *span, size_t bytes);
/* Copies bytes into the front of a span and removes that front. Returns how
 * many bytes fitted. */
size_t span_put(struct span *span, const void *from, size_t bytes);

/* Removes the last byte of a span. Returns its address, or NULL if the span is
 * empty. */
uint8_t *span_take_last_byte(struct span *span);

#endif
