/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that wait for their result; see library/blocking.h. */
#include "library/blocking.h"

#include <errno.h>
#include <stdlib.h>

#include "library/stages.h"
#include "base/clock.h"
#include "base/error.h"

/* blocking_make_transfer() converts one type to the other by a cast. */
_Static_assert((int)OPERATION_READ == (int)REQUEST_READ, "one numbering");
_Static_assert((int)OPERATION_WRITE == (int)REQUEST_WRITE, "one numbering");
_Static_assert((int)OPERATION_FLUSH == (int)REQUEST_FLUSH, "one numbering");
_Static_assert((int)OPERATION_DISCARD == (int)REQUEST_DISCARD, "one numbering");
_Static_assert((int)OPERATION_WRITE_ZEROES == (int)REQUEST_WRITE_ZEROES,
	       "one numbering");

struct shared_queue *blocking_next_queue(struct device *dev)
{
	struct blocking *blocking = dev->blocking;
	unsigned int turn = __atomic_fetch_add(&blocking->next_queue, 1,
					       __ATOMIC_RELAXED);

	return &blocking->queues[turn % blocking->num_queues];
}

/* Threads are numbered by their first call, and distributed over the queues. */
static struct shared_queue *queue_of_thread(struct device *dev)
{
	static unsigned int num_threads;
	static __thread unsigned int number;

	if (!number)
		number = 1 + __atomic_fetch_add(&num_threads, 1, __ATOMIC_RELAXED);
	return &dev->blocking->queues[number % dev->blocking->num_queues];
}

/* ---- checks ------------------------------------------------------------------- */

static bool is_data(int type)
{
	return type == OPERATION_READ || type == OPERATION_WRITE;
}

/* Larger values were negative in the calling program; pread(2) refuses them too. */
static int check_range(const struct operation *op, const char *name)
{
	if (op->offset_bytes <= DISK_MAX_BYTES && op->size_bytes <= DISK_MAX_BYTES)
		return 0;
	return error_set(EINVAL, "a %s of %zu bytes at %llu is impossible, because a "
			 "size and an offset are at most %llu", name, op->size_bytes,
			 (unsigned long long)op->offset_bytes,
			 (unsigned long long)DISK_MAX_BYTES);
}

static int check(const struct device_info *info, const struct operation *op)
{
	bool is_change = op->type != OPERATION_READ && op->type != OPERATION_FLUSH;
	const char *name = disk_request_name((uint8_t)op->type);

	if (op->type < OPERATION_READ || op->type > OPERATION_FLUSH)
		return error_set(EINVAL, "%d is not a type of operation", op->type);
	if (is_data(op->type) && op->size_bytes && !op->buffer)
		return error_set(EINVAL, "a %s needs a buffer", name);
	if (check_range(op, name))
		return -EINVAL;
	if (is_change && info->read_only)
		return error_set(EROFS, "a %s goes to a device that is read-only",
				 name);
	if (op->type == OPERATION_DISCARD && !info->can_discard)
		return error_set(EOPNOTSUPP, "a discard goes to a device that "
				 "does not offer it");
	if (is_change && op->size_bytes && op->offset_bytes >= info->capacity_bytes)
		return error_set(ENOSPC, "a %s at %llu begins at or beyond the end of "
				 "the device (%llu bytes)", name,
				 (unsigned long long)op->offset_bytes,
				 (unsigned long long)info->capacity_bytes);
	return 0;
}

/* Cuts the transfer at the end of the disk, as pread(2) does at the end of a file.
 * From then on the sum of its offset and size is at most the size of the disk, and so
 * at most DISK_MAX_BYTES. */
static void set_range(struct transfer *t, const struct device_info *info,
		      const struct operation *op)
{
	uint64_t offset = op->offset_bytes, left = 0;
	uint64_t mask = info->block_size - 1;

	if (op->type != OPERATION_FLUSH && offset < info->capacity_bytes)
		left = info->capacity_bytes - offset;
	if (left > op->size_bytes)
		left = op->size_bytes;
	if (op->type == OPERATION_DISCARD) {
		uint64_t end = (offset + left) & ~mask;

		offset = (offset + mask) & ~mask;
		left = end > offset ? end - offset : 0;
	}
	t->offset_bytes = left ? offset : 0;
	t->left_bytes = left;
}

static bool is_direct(const struct device *dev, const struct operation *op)
{
	switch (op->type) {
	case OPERATION_READ:
	case OPERATION_WRITE:
		return device_reaches(dev, op->buffer, op->size_bytes);
	case OPERATION_WRITE_ZEROES:
		return dev->disk.info.can_write_zeroes;
	default:
		return true;
	}
}

struct transfer *blocking_make_transfer(struct shared_queue *sq,
					const struct operation *op, int *code)
{
	const struct device *dev = sq->dev;
	struct transfer *t;

	*code = check(&dev->disk.info, op);
	if (*code)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t) {
		*code = error_set(ENOMEM, "no memory for a transfer");
		return NULL;
	}
	t->sq = sq;
	t->type = (uint8_t)op->type;
	t->buffer = is_data(op->type) ? op->buffer : NULL;
	t->is_direct = is_direct(dev, op);
	t->timeout_ns = dev->blocking->timeout_ns;
	t->deadline_ns = clock_now_ns() + t->timeout_ns;
	set_range(t, &dev->disk.info, op);
	return t;
}

int64_t blocking_result(const struct transfer *t)
{
	if (t->error)
		return error_set(t->error, "%s", t->sentence ? t->sentence : "");
	return is_data(t->type) ? (int64_t)t->done_bytes : 0;
}

void blocking_cancelled(const struct device *dev, const struct operation *op)
{
	error_set(ETIMEDOUT, "%s: a %s of %zu bytes at %llu was cancelled", dev->vu.path,
		  disk_request_name((uint8_t)op->type), op->size_bytes,
		  (unsigned long long)op->offset_bytes);
}

int blocking_timed_out(const struct device *dev, const struct operation *op)
{
	return error_set(ETIMEDOUT, "%s: the back-end did not complete a %s of %zu "
			 "bytes at %llu within %llu ms (request_timeout)",
			 dev->vu.path, disk_request_name((uint8_t)op->type),
			 op->size_bytes, (unsigned long long)op->offset_bytes,
			 (unsigned long long)(dev->blocking->timeout_ns / NS_PER_MS));
}

/* ---- one call -------------------------------------------------------------------- */

static void wake_caller(struct transfer *t)
{
	poller_wake(&t->sq->poller, &t->waiter);
}

/* Each step that completes puts the deadline off. Returns false if t was given up;
 * the caller does not own t any more then. */
static bool wait_for(struct transfer *t, const struct operation *op)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	uint64_t deadline_ns;
	enum cancelled cancelled;

	do {
		deadline_ns = transfer_deadline_ns(t);
		if (poller_wait(&t->sq->poller, &t->waiter, deadline_ns))
			return true;
	} while (deadline_ns != transfer_deadline_ns(t));
	blocking_timed_out(t->sq->dev, op);
	cancelled = shared_queue_cancel(t, true, &work);
	carry_work(&work);
	return cancelled == CANCELLED_SOON &&
	       poller_wait(&t->sq->poller, &t->waiter, UINT64_MAX);
}

/* True if there is nothing to do: no byte is left, or t is a flush and the device
 * keeps writes on stable storage when it completes them (virtio 1.2, 5.2.6.2). */
static bool is_done_already(const struct transfer *t)
{
	if (t->type == REQUEST_FLUSH)
		return !t->sq->dev->disk.info.can_flush;
	return !t->left_bytes;
}

void blocking_begin(struct transfer *t)
{
	if (is_done_already(t))
		t->finished(t);
	else
		shared_queue_begin(t);
}

static int64_t carry_out(struct device *dev, const struct operation *op)
{
	int code;
	int64_t result;
	struct transfer *t = blocking_make_transfer(queue_of_thread(dev), op, &code);

	if (!t)
		return code;
	t->finished = wake_caller;
	blocking_begin(t);
	if (!wait_for(t, op))
		return blocking_timed_out(dev, op);
	result = blocking_result(t);
	transfer_free(t);
	return result;
}

void device_shutdown(struct device *dev)
{
	struct blocking *blocking = dev->blocking;
	struct error_kept kept = error_keep();

	for (unsigned int i = 0; blocking && i < blocking->num_queues; i++)
		shared_queue_shutdown(&blocking->queues[i]);
	error_restore(&kept);
}

int64_t device_read(struct device *dev, void *buffer, size_t size_bytes,
		    uint64_t offset_bytes)
{
	struct operation op = { .type = OPERATION_READ, .buffer = buffer,
				.size_bytes = size_bytes,
				.offset_bytes = offset_bytes };

	return carry_out(dev, &op);
}

int64_t device_write(struct device *dev, const void *buffer, size_t size_bytes,
		     uint64_t offset_bytes)
{
	struct operation op = { .type = OPERATION_WRITE, .buffer = (void *)buffer,
				.size_bytes = size_bytes,
				.offset_bytes = offset_bytes };

	return carry_out(dev, &op);
}

int device_flush(struct device *dev)
{
	struct operation op = { .type = OPERATION_FLUSH };

	return (int)carry_out(dev, &op);
}

int device_discard(struct device *dev, uint64_t offset_bytes, uint64_t size_bytes)
{
	struct operation op = { .type = OPERATION_DISCARD,
				.size_bytes = size_bytes,
				.offset_bytes = offset_bytes };

	return (int)carry_out(dev, &op);
}

int device_write_zeroes(struct device *dev, uint64_t offset_bytes,
			uint64_t size_bytes)
{
	struct operation op = { .type = OPERATION_WRITE_ZEROES,
				.size_bytes = size_bytes,
				.offset_bytes = offset_bytes };

	return (int)carry_out(dev, &op);
}
