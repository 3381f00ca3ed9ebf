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

static uint64_t end_of(const struct transfer *t)
{
	return t->offset_bytes + t->left_bytes;
}

/* Where a step that moves data must end: an exclusive claim lies within one stretch of
 * the range lock, and a long transfer must show its progress now and then. */
static uint64_t limit_of(const struct transfer *t)
{
	uint64_t stretch = t->offset_bytes / RANGE_LOCK_STRETCH_BYTES;

	return smaller(end_of(t), (stretch + 1) * RANGE_LOCK_STRETCH_BYTES);
}

/* Where a step on whole blocks must end that moves no data. */
static uint64_t limit_of_range(const struct transfer *t, uint64_t range_bytes)
{
	return smaller(end_of(t), t->offset_bytes + range_bytes);
}

static bool moves_data(const struct transfer *t)
{
	return t->type <= REQUEST_WRITE;
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

void transfer_fill_claim(struct transfer *t)
{
	if (t->type != REQUEST_READ)
		t->claim = (struct claim){
			.first_byte = t->step.first_byte,
			.end_byte = t->step.first_byte + t->step.size_bytes,
			.is_alone = t->step.is_partial,
			.owner = t,
		};
}

void transfer_note_planned(struct transfer *t)
{
	transfer_fill_claim(t);
	t->stage = STAGE_CLAIM;
}

void transfer_spread(struct transfer *t)
{
	if (!t->is_whole)
		return;
	t->is_whole = t->needs_flush = false;
	t->is_direct = true;
	t->stage = STAGE_RETURNED;
	t->done_bytes = 0;
	t->cursor = cursor_to_buffer(t->cursor.at, t->left_bytes);
	t->step = (struct step){
		.type = t->type,
		.first_byte = t->offset_bytes,
		.size_bytes = t->left_bytes,
		.payload_bytes = t->left_bytes,
	};
}

void transfer_plan(struct transfer *t, uint32_t block_size, uint64_t slot_bytes,
		   uint64_t range_bytes)
{
	uint64_t block_mask = block_size - 1, limit = limit_of(t);
	uint64_t direct = direct_bytes(t, moves_data(t) ? limit :
					  limit_of_range(t, range_bytes), block_mask);

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

void transfer_unsend(struct transfer *t)
{
	if (!t->is_whole)
		return;
	transfer_spread(t);
	transfer_note_planned(t);
	t->req = NULL;
}

void transfer_plan_next(struct transfer *t)
{
	const struct disk *disk = t->sq->queue->disk;

	transfer_plan(t, disk->info.block_size, t->sq->slot_bytes,
		      t->type == REQUEST_DISCARD ? disk->max_discard_part_bytes :
						   disk->max_write_zeroes_part_bytes);
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

	t->done_bytes += step->payload_bytes;
	if (!t->left_bytes)
		t->needs_flush = false;
	if (step->uses_slot && t->type == REQUEST_READ) {
		struct cursor cursor = t->cursor;

		cursor_scatter(&cursor, slot + step->skip_bytes, step->payload_bytes);
	}
	transfer_skip_step(t);
}

void transfer_skip_step(struct transfer *t)
{
	/* After the last step the cursor is not used any more. */
	if (t->cursor.at && t->step.payload_bytes < t->left_bytes)
		cursor_skip(&t->cursor, t->step.payload_bytes);
	t->offset_bytes += t->step.payload_bytes;
	t->left_bytes -= t->step.payload_bytes;
}

void transfer_fail(struct transfer *t, int code, const char *sentence)
{
	if (t->error)
		return;
	t->error = code;
	t->sentence = sentence ? strdup(sentence) : NULL;
}

bool transfer_may_lend(const struct transfer *t)
{
	return t->is_direct && moves_data(t);
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

void transfer_hold_memory(struct transfer *t)
{
	if (t->is_held || !transfer_lends_memory(t))
		return;
	t->is_held = true;
	t->hold = (struct memory_hold){
		.address = t->cursor.at,
		.size_bytes = t->step.size_bytes,
		.holder = t->sq->dev,
		.block = t->block,
	};
	memory_hold(t->sq->dev->memory, &t->hold);
}

void transfer_release_memory(struct transfer *t)
{
	if (t->is_held)
		memory_release(t->sq->dev->memory, &t->hold);
	t->is_held = false;
}

void transfer_free(struct transfer *t)
{
	free(t->sentence);
	free(t->why_cancelled);
	if (t->is_held)
		return;
	transfer_return_memory(t);
	free(t->block);
}
