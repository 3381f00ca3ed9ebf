/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transfers and their steps; see library/transfer.h. */
#include "library/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "library/shared_queue.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Where the step must end. If it changes blocks, it must stay within one stretch of
 * the range lock. */
static uint64_t limit_of(const struct transfer *t)
{
	uint64_t end = t->offset_bytes + t->left_bytes;
	uint64_t stretch = t->offset_bytes / RANGE_LOCK_STRETCH_BYTES;

	if (t->type == REQUEST_READ)
		return end;
	return smaller(end, (stretch + 1) * RANGE_LOCK_STRETCH_BYTES);
}

/* The bytes of whole blocks that can move without a bounce buffer; 0 if the next byte
 * is not at the beginning of a block. */
static uint64_t direct_bytes(const struct transfer *t, uint64_t limit,
			     uint64_t block_mask)
{
	if (!t->is_direct || t->offset_bytes & block_mask)
		return 0;
	return (limit & ~block_mask) - t->offset_bytes;
}

/* As many of these bytes as lie in one part of the program's memory, because a request
 * has one buffer. A step for a small part would take longer than a copy of it together
 * with others. */
static uint64_t bytes_of_part(const struct transfer *t, uint64_t direct,
			      uint64_t block_mask, uint64_t slot_bytes)
{
	uint64_t bytes = smaller(direct, t->cursor.part_bytes & ~block_mask);

	return bytes < direct && bytes < slot_bytes ? 0 : bytes;
}

/* Plans a step that uses a bounce buffer. If the transfer is direct and has one part,
 * only its partial blocks need one, so such a step is one block. */
static void plan_slot(struct transfer *t, uint64_t limit, uint64_t block_mask,
		      uint64_t slot_bytes)
{
	struct step *step = &t->step;
	uint64_t end = (limit + block_mask) & ~block_mask;
	uint64_t most = t->is_direct && !t->cursor.num_next ?
			block_mask + 1 : slot_bytes & ~block_mask;

	step->first_byte = t->offset_bytes & ~block_mask;
	step->skip_bytes = t->offset_bytes - step->first_byte;
	step->size_bytes = smaller(end - step->first_byte, most);
	step->payload_bytes = smaller(limit, step->first_byte + step->size_bytes) -
			      t->offset_bytes;
	step->uses_slot = true;
	if (t->type == REQUEST_READ)
		return;
	step->type = REQUEST_WRITE;
	step->is_partial = step->payload_bytes < step->size_bytes;
	step->is_reading = step->is_partial;
}

void transfer_plan(struct transfer *t, uint32_t block_size, uint64_t slot_bytes)
{
	uint64_t block_mask = block_size - 1, limit = limit_of(t);
	uint64_t direct = direct_bytes(t, limit, block_mask);

	cursor_skip_empty(&t->cursor);
	if (t->cursor.num_next)
		direct = bytes_of_part(t, direct, block_mask, slot_bytes);
	t->step = (struct step){
		.type = t->left_bytes ? t->type : REQUEST_FLUSH,
		.first_byte = t->offset_bytes,
		.size_bytes = direct,
		.payload_bytes = direct,
	};
	if (!direct && t->left_bytes)
		plan_slot(t, limit, block_mask, slot_bytes);
}

bool transfer_needs_claim(const struct transfer *t)
{
	return t->type != REQUEST_READ && t->step.type != REQUEST_FLUSH;
}

void transfer_fill(const struct transfer *t, char *slot)
{
	const struct step *step = &t->step;
	struct cursor cursor = t->cursor;

	if (!step->uses_slot || step->is_reading || step->type != REQUEST_WRITE)
		return;
	if (t->type == REQUEST_WRITE_ZEROES)
		memset(slot + step->skip_bytes, 0, step->payload_bytes);
	else
		cursor_gather(&cursor, slot + step->skip_bytes, step->payload_bytes);
}

void transfer_complete_step(struct transfer *t, const char *slot)
{
	const struct step *step = &t->step;

	if (step->uses_slot && t->type == REQUEST_READ)
		cursor_scatter(&t->cursor, slot + step->skip_bytes, step->payload_bytes);
	else if (t->cursor.at)
		cursor_skip(&t->cursor, step->payload_bytes);
	if (!t->left_bytes)
		t->needs_flush = false;
	t->offset_bytes += step->payload_bytes;
	t->left_bytes -= step->payload_bytes;
	t->done_bytes += step->payload_bytes;
}

void transfer_fail(struct transfer *t, int code, const char *sentence)
{
	if (t->error)
		return;
	t->error = code;
	t->sentence = sentence ? strdup(sentence) : NULL;
}

bool transfer_lends_memory(const struct transfer *t)
{
	return t->cursor.at && t->step.size_bytes && !t->step.uses_slot;
}

void transfer_return_memory(struct transfer *t)
{
	if (t->lent)
		device_return(t->sq->dev, t->lent);
	t->lent = 0;
}

void transfer_free(struct transfer *t)
{
	free(t->sentence);
	free(t->why_cancelled);
	if (t->is_held)
		return;
	transfer_return_memory(t);
	free(t);
}
