/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A copy in pieces, several of which are in flight at any time. Each piece has one
 * operation, which reads and then writes. No function here waits: the programs
 * copy_async.c and copy_epoll.c show two ways of waiting.
 *
 * Functions return 0, or 1 after they have printed what failed. After a failure the
 * operations in flight still belong to the library, until pieces_close().
 */
#ifndef PIECES_H
#define PIECES_H

#include "disks.h"

#define DEPTH 32
#define PIECE_BYTES (128 << 10)

struct pieces {
	const struct disks *disks;
	struct pyfio_async *source, *target;
	char *memory;
	struct pyfio_operation ops[DEPTH];
	struct pyfio_operation *idle[DEPTH];
	unsigned int num_idle, num_reads, num_writes;
	uint64_t next_byte; /* to be read */
};

/* Begins all operations with one lock and at most one kick. */
static inline int pieces_submit(struct pyfio_async *async,
				struct pyfio_operation *const *ops, unsigned int count)
{
	int begun = pyfio_async_submit_many(async, ops, count);

	return begun == (int)count ? 0 : fail("cannot submit");
}

/* Begins to read with every operation that is idle. */
static inline int pieces_read(struct pieces *pieces)
{
	struct pyfio_operation *reads[DEPTH];
	unsigned int count = 0;

	while (pieces->num_idle && pieces->next_byte < pieces->disks->bytes) {
		uint64_t left = pieces->disks->bytes - pieces->next_byte;
		struct pyfio_operation *op = pieces->idle[--pieces->num_idle];

		op->type = PYFIO_OPERATION_READ;
		op->offset_bytes = pieces->next_byte;
		op->size_bytes = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
		pieces->next_byte += op->size_bytes;
		reads[count++] = op;
	}
	pieces->num_reads += count;
	return count ? pieces_submit(pieces->source, reads, count) : 0;
}

/* An operation that failed is the last one of its batch, so the sentence is about it. */
static inline int pieces_check(const struct pyfio_operation *op)
{
	if (op->result < 0)
		return fail(op->type == PYFIO_OPERATION_READ ? "cannot read" :
							       "cannot write");
	if ((uint64_t)op->result == op->size_bytes)
		return 0;
	fprintf(stderr, "a disk became smaller\n");
	return 1;
}

/* Writes what has been read. */
static inline int pieces_write(struct pieces *pieces)
{
	struct pyfio_operation *ops[DEPTH];
	int count;

	while ((count = pyfio_async_collect(pieces->source, ops, DEPTH)) > 0) {
		pieces->num_reads -= (unsigned int)count;
		for (int i = 0; i < count; i++) {
			if (pieces_check(ops[i]))
				return 1;
			ops[i]->type = PYFIO_OPERATION_WRITE;
		}
		pieces->num_writes += (unsigned int)count;
		if (pieces_submit(pieces->target, ops, (unsigned int)count))
			return 1;
	}
	return count < 0 ? fail("cannot collect") : 0;
}

/* Takes back the operations that have written. */
static inline int pieces_take_back(struct pieces *pieces)
{
	struct pyfio_operation *ops[DEPTH];
	int count;

	while ((count = pyfio_async_collect(pieces->target, ops, DEPTH)) > 0) {
		pieces->num_writes -= (unsigned int)count;
		for (int i = 0; i < count; i++) {
			if (pieces_check(ops[i]))
				return 1;
			pieces->idle[pieces->num_idle++] = ops[i];
		}
	}
	return count < 0 ? fail("cannot collect") : 0;
}

/* Does everything that can be done without waiting. */
static inline int pieces_proceed(struct pieces *pieces)
{
	return pieces_write(pieces) || pieces_take_back(pieces) || pieces_read(pieces);
}

static inline bool pieces_are_left(const struct pieces *pieces)
{
	return pieces->num_reads || pieces->num_writes ||
	       pieces->next_byte < pieces->disks->bytes;
}

/* To be called when no pieces are left. */
static inline int pieces_finish(const struct pieces *pieces)
{
	if (pyfio_device_flush(pieces->disks->target))
		return fail("cannot flush");
	printf("%" PRIu64 " bytes copied\n", pieces->next_byte);
	return 0;
}

/* Cancels what is in flight. The memory can be freed even if a back-end that hangs
 * still has it: the library does not allocate it again before it is safe. */
static inline void pieces_close(struct pieces *pieces)
{
	pyfio_async_close(pieces->target);
	pyfio_async_close(pieces->source);
	pyfio_device_free(pieces->disks->source, pieces->memory);
}

/* After a failure, everything is closed again. */
static inline int pieces_open(struct pieces *pieces, const struct disks *disks)
{
	*pieces = (struct pieces){ .disks = disks };
	pieces->memory = pyfio_device_alloc(disks->source, DEPTH * PIECE_BYTES, 0);
	if (!pieces->memory || pyfio_async_open(&pieces->source, disks->source) ||
	    pyfio_async_open(&pieces->target, disks->target)) {
		fail("cannot prepare the operations");
		pieces_close(pieces);
		return 1;
	}
	for (unsigned int i = 0; i < DEPTH; i++) {
		struct pyfio_operation *op = &pieces->ops[i];

		op->struct_size = sizeof(*op);
		op->buffer = pieces->memory + (size_t)i * PIECE_BYTES;
		pieces->idle[pieces->num_idle++] = op;
	}
	return 0;
}

#endif
