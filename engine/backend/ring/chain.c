/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds and consumes descriptor chains. Workers enter it on the request path,
 * so it does not allocate, lock or call the system.
 */
#include "ring/chain.h"

#include <errno.h>
#include <string.h>

static int span_add(struct chain *chain, struct span *span, void *base,
		    size_t bytes)
{
	unsigned int used = chain->out.count + chain->in.count;

	if (used == CHAIN_SEGMENTS_MAX)
		return -E2BIG;
	chain->segments[used].iov_base = base;
	chain->segments[used].iov_len = bytes;
	span->count++;
	span->bytes += bytes;
	return 0;
}

/* A buffer may cross regions that are adjacent in guest addresses but not in
 * our own addresses. */
static int chain_add_pieces(struct chain *chain, const struct memory *memory,
			    struct span *span, uint64_t address, uint64_t bytes)
{
	chain->is_split = true;
	while (bytes) {
		const struct memory_region *region =
			memory_find_guest(memory, address);
		uint64_t offset, piece;
		int result;

		if (!region)
			return -EFAULT;
		offset = address - region->guest_address;
		piece = region->size_bytes - offset;
		if (piece > bytes)
			piece = bytes;
		result = span_add(chain, span, region->host + offset, piece);
		if (result)
			return result;
		address += piece;
		bytes -= piece;
	}
	return 0;
}

int chain_add(struct chain *chain, const struct memory *memory,
	      const struct memory_region **recent, uint64_t address,
	      uint32_t bytes, int device_writes)
{
	struct span *span = device_writes ? &chain->in : &chain->out;
	const struct memory_region *region = *recent;

	/* Virtio 1.2, 2.7.4.2: what the device writes comes after all that it
	 * reads. Empty buffers are refused. */
	if (!bytes || (!device_writes && chain->in.count))
		return -EINVAL;
	if (!chain->in.count)
		chain->in.segments = chain->segments + chain->out.count;
	if (unlikely(!region ||
		     !memory_region_holds(region, address, bytes))) {
		region = memory_find_guest(memory, address);
		if (!region)
			return -EFAULT;
		*recent = region;
		if (!memory_region_holds(region, address, bytes))
			return chain_add_pieces(chain, memory, span, address,
						bytes);
	}
	return span_add(chain, span,
			region->host + (address - region->guest_address),
			bytes);
}

size_t span_take_front(struct span *span, void *to, size_t bytes)
{
	size_t taken;

	if (likely(span->count && span->segments->iov_len == bytes)) {
		memcpy(to, span->segments->iov_base, bytes);
		span->segments++;
		span->count--;
		span->bytes -= bytes;
		return bytes;
	}
	taken = span_peek(span, to, bytes);
	span_skip(span, taken);
	return taken;
}

size_t span_peek(const struct span *span, void *to, size_t bytes)
{
	size_t done = 0;
	unsigned int i;

	for (i = 0; i < span->count && done < bytes; i++) {
		size_t piece = span->segments[i].iov_len;

		if (piece > bytes - done)
			piece = bytes - done;
		memcpy((uint8_t *)to + done, span->segments[i].iov_base, piece);
		done += piece;
	}
	return done;
}

struct span span_cut_front(struct span *span, size_t bytes,
			   struct iovec *segments, unsigned int most)
{
	struct span cut = { .segments = segments };

	while (cut.bytes < bytes && cut.count < most && span->count) {
		struct iovec *piece = &segments[cut.count++];

		*piece = *span->segments;
		if (piece->iov_len > bytes - cut.bytes)
			piece->iov_len = bytes - cut.bytes;
		cut.bytes += piece->iov_len;
		span_skip(span, piece->iov_len);
	}
	return cut;
}

void span_skip(struct span *span, size_t bytes)
{
	if (bytes > span->bytes)
		bytes = span->bytes;
	span->bytes -= bytes;
	while (bytes && bytes >= span->segments->iov_len) {
		bytes -= span->segments->iov_len;
		span->segments++;
		span->count--;
	}
	if (bytes) {
		span->segments->iov_base =
			(uint8_t *)span->segments->iov_base + bytes;
		span->segments->iov_len -= bytes;
	}
}

void span_trim(struct span *span, size_t bytes)
{
	while (span->bytes > bytes) {
		struct iovec *last = &span->segments[span->count - 1];
		size_t surplus = span->bytes - bytes;

		if (surplus < last->iov_len) {
			last->iov_len -= surplus;
			span->bytes = bytes;
			return;
		}
		span->bytes -= last->iov_len;
		span->count--;
	}
}

size_t span_put(struct span *span, const void *from, size_t bytes)
{
	size_t done = 0;

	while (done < bytes && span->count) {
		size_t piece = span->segments->iov_len;

		if (piece > bytes - done)
			piece = bytes - done;
		memcpy(span->segments->iov_base, (const uint8_t *)from + done,
		       piece);
		span_skip(span, piece);
		done += piece;
	}
	return done;
}

uint8_t *span_take_last_byte(struct span *span)
{
	struct iovec *last;

	if (!span->count)
		return NULL;
	last = &span->segments[span->count - 1];
	span->bytes--;
	if (--last->iov_len == 0)
		span->count--;
	return (uint8_t *)last->iov_base + last->iov_len;
}
