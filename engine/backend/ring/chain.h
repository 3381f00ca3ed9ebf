/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One descriptor chain, its addresses translated: what the driver wrote for
 * the device (out) and what the device may write (in).
 *
 * Owned by one worker, which keeps a single one as scratch and fills it anew
 * for every request. A device consumes it from the ends: the header from the
 * front of out, the status byte from the back of in; what is left is data.
 */
#ifndef BACKEND_CHAIN_H
#define BACKEND_CHAIN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "memory/client.h"

/* Segments of one chain at most, after those that cross from one region into
 * the next were split. Linux takes as many in one preadv(). */
enum { CHAIN_SEGMENTS_MAX = 1024 };

struct span {
	struct iovec *segments;
	unsigned int count;
	size_t bytes;
};

struct chain {
	struct span out; /* driver to device */
	struct span in;  /* device to driver */
	struct iovec segments[CHAIN_SEGMENTS_MAX];
};

static inline void chain_clear(struct chain *chain)
{
	chain->out = (struct span){ .segments = chain->segments };
	chain->in = (struct span){ .segments = chain->segments };
}

/* Adds guest memory at the end. `recent` is the region found last, a guess
 * that is nearly always right. 0, or a negative errno: -EFAULT outside of
 * memory, -EINVAL empty or out of order, -E2BIG too long. */
int chain_add(struct chain *chain, const struct memory *memory,
	      const struct memory_region **recent, uint64_t address,
	      uint32_t bytes, int device_writes);

/* Removes bytes from the front of a span and copies them. Returns how many:
 * fewer than asked only when the span is shorter. */
size_t span_take_front(struct span *span, void *to, size_t bytes);
/* Copies from the front and consumes nothing. */
size_t span_peek(const struct span *span, void *to, size_t bytes);

/* Removes the front of a span and returns it as a span of its own, in segments
 * of the caller's; shorter than asked if the span or the room is too short. */
struct span span_cut_front(struct span *span, size_t bytes,
			   struct iovec *segments, unsigned int most);
/* Removes the front of a span without copying. */
void span_skip(struct span *span, size_t bytes);
/* Cuts a span down to its first `bytes` bytes. */
void span_trim(struct span *span, size_t bytes);
/* Fills the front of a span and consumes it. Returns how many bytes fitted. */
size_t span_put(struct span *span, const void *from, size_t bytes);

/* Takes the last byte of a span: where it is, or NULL if the span is empty. */
uint8_t *span_take_last_byte(struct span *span);

#endif
