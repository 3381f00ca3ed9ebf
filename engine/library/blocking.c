/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that wait for their result; see library/blocking.h. */
#include "library/blocking.h"

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "library/prepare.h"
#include "library/spares.h"
#include "library/stages.h"

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

/* ---- results ------------------------------------------------------------------ */

int64_t blocking_result(const struct transfer *t)
{
	if (t->is_whole)
		return (int64_t)t->left_bytes;
	if (t->error)
		return error_set(t->error, "%s", t->sentence ? t->sentence : "");
	return t->type <= REQUEST_WRITE ? (int64_t)t->done_bytes : 0;
}

void blocking_cancelled(const struct device *dev, const struct operation *op)
{
	error_set(ETIMEDOUT, "%s: a %s of %llu bytes at %llu was cancelled", dev->vu.path,
		  disk_request_name((uint8_t)op->type),
		  (unsigned long long)prepare_bytes_of(op),
		  (unsigned long long)op->offset_bytes);
}

int blocking_timed_out(const struct device *dev, const struct operation *op)
{
	return error_set(ETIMEDOUT, "%s: the back-end did not complete a %s of %llu "
			 "bytes at %llu within %llu ms (request_timeout)",
			 dev->vu.path, disk_request_name((uint8_t)op->type),
			 (unsigned long long)prepare_bytes_of(op),
			 (unsigned long long)op->offset_bytes,
			 (unsigned long long)(dev->blocking->timeout_ns / NS_PER_MS));
}

/* ---- one call -------------------------------------------------------------------- */

static void wake_caller(struct finished_list *done, struct transfer_list *work)
{
	struct transfer *t = STAILQ_FIRST(done);

	(void)work;
	STAILQ_REMOVE_HEAD(done, next);
	poller_wake(&t->sq->poller, &t->waiter);
}

/* Each step that completes puts the deadline off. Returns false if t was given up;
 * the caller does not own t any more then. */
static bool wait_for(struct transfer *t, const struct operation *op)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	struct shared_queue *sq = t->sq;
	uint64_t deadline_ns;
	enum cancelled cancelled;

	do {
		deadline_ns = shared_queue_deadline_ns(t);
		if (poller_wait(&t->sq->poller, &t->waiter, deadline_ns))
			return true;
	} while (deadline_ns != shared_queue_deadline_ns(t));
	blocking_timed_out(t->sq->dev, op);
	pthread_mutex_lock(&sq->lock);
	cancelled = shared_queue_cancel(t, true, &work);
	pthread_mutex_unlock(&sq->lock);
	carry_work(&work);
	return cancelled == CANCELLED_SOON &&
	       poller_wait(&t->sq->poller, &t->waiter, UINT64_MAX);
}

static int64_t carry_out(struct device *dev, const struct operation *op)
{
	struct transfer *t = spares_take(queue_of_thread(dev));
	int64_t result;

	if (!t)
		return -ENOMEM;
	prepare_memory(dev, &op, 1);
	result = prepare_transfer(t, dev, op, clock_now_ns() + t->timeout_ns);
	if (!result) {
		t->finished = wake_caller;
		t->waiter = (struct waiter){ 0 };
		shared_queue_begin(t);
		if (!wait_for(t, op))
			return blocking_timed_out(dev, op);
		result = blocking_result(t);
	}
	spares_keep(t);
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

int64_t device_readv(struct device *dev, const struct iovec *iov, unsigned int iov_count,
		     uint64_t offset_bytes)
{
	struct operation op = { .type = OPERATION_READ, .iov = iov, .iov_count = iov_count,
				.offset_bytes = offset_bytes };

	return carry_out(dev, &op);
}

int64_t device_writev(struct device *dev, const struct iovec *iov,
		      unsigned int iov_count, uint64_t offset_bytes)
{
	struct operation op = { .type = OPERATION_WRITE, .iov = iov,
				.iov_count = iov_count, .offset_bytes = offset_bytes };

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
