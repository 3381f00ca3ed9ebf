/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks operations, and makes transfers of them; see library/prepare.h. */
#include "library/prepare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "library/blocking.h"

#define CACHE_LINE 64ul

/* prepare_transfer() converts one type to the other by a cast. */
_Static_assert((int)OPERATION_READ == (int)REQUEST_READ, "one numbering");
_Static_assert((int)OPERATION_WRITE == (int)REQUEST_WRITE, "one numbering");
_Static_assert((int)OPERATION_FLUSH == (int)REQUEST_FLUSH, "one numbering");
_Static_assert((int)OPERATION_DISCARD == (int)REQUEST_DISCARD, "one numbering");
_Static_assert((int)OPERATION_WRITE_ZEROES == (int)REQUEST_WRITE_ZEROES,
	       "one numbering");

static bool is_data(int type)
{
	return type == OPERATION_READ || type == OPERATION_WRITE;
}

static const char *name_of(const struct operation *op)
{
	return disk_request_name((uint8_t)op->type);
}

/* ---- checks ------------------------------------------------------------------- */

static int check_flags(const struct operation *op)
{
	if (op->flags & ~(unsigned int)(OPERATION_FUA | OPERATION_BARRIER))
		return error_set(EINVAL, "a %s with the flags %#x: the flags are %d (FUA), "
				 "%d (barrier) and their sum", name_of(op), op->flags,
				 OPERATION_FUA, OPERATION_BARRIER);
	if (op->flags & OPERATION_FUA && op->type != OPERATION_WRITE &&
	    op->type != OPERATION_WRITE_ZEROES)
		return error_set(EINVAL, "a %s with the flag %d (FUA): only a write and a "
				 "write-zeroes can have it", name_of(op), OPERATION_FUA);
	return 0;
}

/* Larger values were negative in the calling program; pread(2) refuses them too. */
static int check_range(const struct operation *op, uint64_t size_bytes)
{
	if (op->offset_bytes <= DISK_MAX_BYTES && size_bytes <= DISK_MAX_BYTES)
		return 0;
	return error_set(EINVAL, "a %s of %llu bytes at %llu is impossible, because a "
			 "size and an offset are at most %llu", name_of(op),
			 (unsigned long long)size_bytes,
			 (unsigned long long)op->offset_bytes,
			 (unsigned long long)DISK_MAX_BYTES);
}

static int check_form_of_parts(const struct operation *op)
{
	if (!is_data(op->type))
		return error_set(EINVAL, "a %s with %u parts: only a read and a write can "
				 "have parts (iov)", name_of(op), op->iov_count);
	if (op->buffer || op->size_bytes)
		return error_set(EINVAL, "a %s with %u parts (iov) and with a buffer: it "
				 "can have only one of them", name_of(op), op->iov_count);
	if (!op->iov || op->iov_count > PREPARE_MAX_PARTS)
		return error_set(EINVAL, "a %s with %u parts%s: it needs an iov with 1 to "
				 "%d parts", name_of(op), op->iov_count,
				 op->iov ? "" : ", whose iov is missing",
				 PREPARE_MAX_PARTS);
	return 0;
}

static int check_parts(const struct operation *op, uint64_t *size_bytes)
{
	int code = check_form_of_parts(op);

	*size_bytes = 0;
	for (unsigned int i = 0; !code && i < op->iov_count; i++) {
		const struct iovec *part = &op->iov[i];

		if (part->iov_len && !part->iov_base)
			code = error_set(EINVAL, "a %s needs a buffer for its part %u, "
					 "which has %zu bytes", name_of(op), i,
					 part->iov_len);
		else if (__builtin_add_overflow(*size_bytes, part->iov_len, size_bytes))
			code = error_set(EINVAL, "the %u parts of a %s have more than "
					 "%llu bytes together", op->iov_count,
					 name_of(op), (unsigned long long)DISK_MAX_BYTES);
	}
	return code;
}

static int check_memory(const struct operation *op, uint64_t *size_bytes)
{
	if (op->iov_count)
		return check_parts(op, size_bytes);
	*size_bytes = op->size_bytes;
	if (is_data(op->type) && op->size_bytes && !op->buffer)
		return error_set(EINVAL, "a %s needs a buffer", name_of(op));
	return 0;
}

static int check_disk(const struct device_info *info, const struct operation *op,
		      uint64_t size_bytes)
{
	if (op->type == OPERATION_READ || op->type == OPERATION_FLUSH)
		return 0;
	if (info->read_only)
		return error_set(EROFS, "a %s goes to a device that is read-only",
				 name_of(op));
	if (op->type == OPERATION_DISCARD && !info->can_discard)
		return error_set(EOPNOTSUPP, "a discard goes to a device that "
				 "does not offer it");
	if (size_bytes && op->offset_bytes >= info->capacity_bytes)
		return error_set(ENOSPC, "a %s at %llu begins at or beyond the end of "
				 "the device (%llu bytes)", name_of(op),
				 (unsigned long long)op->offset_bytes,
				 (unsigned long long)info->capacity_bytes);
	return 0;
}

/* True for a read or write of one buffer within the disk, as most operations are, which
 * is whole if its buffer is shared memory. It needs no other check. */
static bool is_plain(const struct device_info *info, const struct operation *op)
{
	return (op->type == OPERATION_READ ||
		(op->type == OPERATION_WRITE && !info->read_only)) &&
	       !(op->flags | op->iov_count) &&
	       transfer_can_be_whole(op->offset_bytes, op->size_bytes, info->block_size) &&
	       op->offset_bytes + op->size_bytes - 1 < info->capacity_bytes;
}

static int check(const struct device_info *info, const struct operation *op,
		 uint64_t *size_bytes)
{
	int code;

	if (op->type < OPERATION_READ || op->type > OPERATION_FLUSH)
		return error_set(EINVAL, "%d is not a type of operation", op->type);
	code = check_flags(op);
	if (!code)
		code = check_memory(op, size_bytes);
	if (!code)
		code = check_range(op, *size_bytes);
	return code ? code : check_disk(info, op, *size_bytes);
}

/* ---- transfers -------------------------------------------------------------------- */

/* Cuts the transfer at the end of the disk, as pread(2) does at the end of a file.
 * From then on the sum of its offset and size is at most the size of the disk, and so
 * at most DISK_MAX_BYTES. */
static void set_range(struct transfer *t, const struct device_info *info,
		      const struct operation *op, uint64_t size_bytes)
{
	uint64_t offset = op->offset_bytes, left = 0;
	uint64_t mask = info->block_size - 1;

	if (op->type != OPERATION_FLUSH && offset < info->capacity_bytes)
		left = info->capacity_bytes - offset;
	if (left > size_bytes)
		left = size_bytes;
	if (op->type == OPERATION_DISCARD) {
		uint64_t end = (offset + left) & ~mask;

		offset = (offset + mask) & ~mask;
		left = end > offset ? end - offset : 0;
	}
	t->offset_bytes = left ? offset : 0;
	t->left_bytes = left;
}

static void set_memory(struct transfer *t, const struct operation *op)
{
	if (op->iov_count)
		t->cursor = cursor_to_parts(op->iov, op->iov_count);
	else
		t->cursor = cursor_to_buffer(is_data(op->type) ? op->buffer : NULL,
					     op->size_bytes);
}

static bool lend_all(struct device *dev, const struct operation *op, uint32_t *lent)
{
	if (!op->iov_count)
		return device_lend(dev, op->buffer, op->size_bytes, lent);
	for (unsigned int i = 0; i < op->iov_count; i++)
		if (op->iov[i].iov_len && !device_lend(dev, op->iov[i].iov_base,
						       op->iov[i].iov_len, lent))
			return false;
	return true;
}

static void learn_memory(struct device *dev, const struct operation *op)
{
	if (!is_data(op->type) || op->iov_count > PREPARE_MAX_PARTS)
		return;
	if (!op->iov_count)
		device_learn(dev, op->buffer, op->size_bytes);
	for (unsigned int i = 0; op->iov && i < op->iov_count; i++)
		device_learn(dev, op->iov[i].iov_base, op->iov[i].iov_len);
}

void prepare_memory(struct device *dev, const struct operation *const *ops,
		    unsigned int count)
{
	if (!device_may_learn(dev))
		return;
	for (unsigned int i = 0; i < count; i++)
		learn_memory(dev, ops[i]);
}

static bool is_direct(struct device *dev, const struct operation *op, uint32_t *lent)
{
	if (is_data(op->type))
		return lend_all(dev, op, lent);
	return op->type != OPERATION_WRITE_ZEROES || dev->disk.info.can_write_zeroes;
}

/* A flush has nothing to do if the device keeps writes on stable storage when it
 * completes them (virtio 1.2, 5.2.6.2). */
static bool needs_flush(const struct transfer *t, const struct device_info *info,
			const struct operation *op)
{
	return info->can_flush &&
	       (op->type == OPERATION_FLUSH || (op->flags & OPERATION_FUA && t->left_bytes));
}

struct transfer *prepare_new(struct shared_queue *sq, size_t size_bytes,
			     size_t offset_bytes)
{
	size_t room_bytes = (size_bytes + CACHE_LINE - 1) & ~(CACHE_LINE - 1);
	char *block = aligned_alloc(CACHE_LINE, room_bytes);
	struct transfer *t;

	if (!block) {
		error_set(ENOMEM, "no memory for an operation");
		return NULL;
	}
	memset(block, 0, size_bytes);
	t = (struct transfer *)(block + offset_bytes);
	t->block = block;
	t->sq = sq;
	t->timeout_ns = sq->dev->blocking->timeout_ns;
	return t;
}

static int prepare_any(struct transfer *t, struct device *dev, const struct operation *op)
{
	const struct device_info *info = &dev->disk.info;
	uint64_t size_bytes = 0;
	int code = check(info, op, &size_bytes);

	if (code)
		return code;
	t->type = (uint8_t)op->type;
	t->is_direct = is_direct(dev, op, &t->lent);
	if (!t->is_direct)
		transfer_return_memory(t);
	t->is_whole = false;
	t->req = NULL;
	t->done_bytes = 0;
	set_memory(t, op);
	set_range(t, info, op, size_bytes);
	t->needs_flush = needs_flush(t, info, op);
	t->stage = transfer_is_complete(t) ? STAGE_FINISH : STAGE_PLAN;
	return 0;
}

int prepare_transfer(struct transfer *t, struct device *dev, const struct operation *op,
		     uint64_t deadline_ns)
{
	transfer_set_deadline(t, deadline_ns);
	if (!is_plain(&dev->disk.info, op) ||
	    !device_lend(dev, op->buffer, op->size_bytes, &t->lent))
		return prepare_any(t, dev, op);
	transfer_be_whole(t, (uint8_t)op->type, op->buffer, op->offset_bytes,
			  op->size_bytes);
	return 0;
}

uint64_t prepare_bytes_of(const struct operation *op)
{
	uint64_t size_bytes = op->size_bytes;

	for (unsigned int i = 0; i < op->iov_count; i++)
		size_bytes += op->iov[i].iov_len;
	return size_bytes;
}
