/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations submitted, cancelled and collected; see library/async.h. */
#include "library/async.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "library/prepare.h"
#include "library/stages.h"

/* ---- submission ---------------------------------------------------------------- */

static struct submission *make_submission(struct async *async)
{
	struct transfer *t = prepare_new(async->sq, sizeof(struct submission),
					 offsetof(struct submission, transfer));

	if (!t)
		return NULL;
	t->finished = async_finished;
	t->is_finished_locked = true;
	t->is_kept = true;
	t->context = async;
	return async_submission(t);
}

/* The lock is held. Submissions are used again, so that there are only as many as the
 * program has had in flight at the same time. */
static struct submission *take_spare(struct async *async)
{
	struct transfer *t = async->spares;

	if (!t)
		return make_submission(async);
	async->spares = STAILQ_NEXT(t, next);
	return async_submission(t);
}

static void keep_spare(struct async *async, struct transfer *t)
{
	STAILQ_NEXT(t, next) = async->spares;
	async->spares = t;
}

/* The lock is held. */
static inline int begin(struct async *async, struct operation *op, uint64_t deadline_ns,
			struct transfer_list *work)
{
	struct submission *submission = take_spare(async);
	int code;

	if (!submission)
		return -ENOMEM;
	code = prepare_transfer(&submission->transfer, async->sq->dev, op, deadline_ns);
	if (code) {
		keep_spare(async, &submission->transfer);
		return code;
	}
	submission->op = op;
	submission->flags = op->flags;
	TAILQ_INSERT_TAIL(&async->pending, submission, link);
	async->num_pending++;
	async_begin(async, submission, work);
	return 0;
}

/* The lock is held. Returns how many were begun; *code says why it is not all. */
static unsigned int begin_all(struct async *async, struct operation *const *ops,
			      unsigned int count, int *code, struct transfer_list *work)
{
	uint64_t deadline_ns = clock_now_ns() + async->sq->dev->blocking->timeout_ns;
	bool was_idle = !async->num_pending;
	unsigned int begun = 0;

	*code = async->is_shut ? async_refuse(async) : 0;
	if (*code)
		return 0;
	while (begun < count && !(*code = begin(async, ops[begun], deadline_ns, work)))
		begun++;
	if (was_idle && begun && async->watch != WATCH_PAUSED)
		pthread_cond_signal(&async->has_work);
	return begun;
}

int async_submit_many(struct async *async, struct operation *const *ops,
		      unsigned int count)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	struct error_kept kept;
	unsigned int begun;
	int code;

	prepare_memory(async->sq->dev, (const struct operation *const *)ops, count);
	pthread_mutex_lock(&async->sq->lock);
	begun = begin_all(async, ops, count, &code, &work);
	if (code)
		kept = error_keep();
	carry_unlock(async->sq);
	if (!TAILQ_EMPTY(&work))
		carry_work(&work);
	if (code)
		error_restore(&kept);
	return begun ? (int)begun : code;
}

int async_submit(struct async *async, struct operation *op)
{
	int begun = async_submit_many(async, &op, 1);

	return begun < 0 ? begun : 0;
}

/* ---- collecting and cancelling ------------------------------------------------------ */

/* The lock is held. A transfer that cannot be used again is freed, now or when the
 * queue has it back. Returns true if the operation failed; then records why. */
static bool end(struct submission *submission)
{
	struct transfer *t = &submission->transfer;
	int64_t result = submission->op->result;

	if (result < 0)
		error_set((int)-result, "%s", async_sentence(submission));
	t->is_kept = false;
	if (!t->is_detached)
		transfer_free(t);
	return result < 0;
}

/* The lock is held. Collects up to the first that cannot be used again. */
static unsigned int collect_good(struct async *async, struct operation **ops,
				 unsigned int max)
{
	struct transfer *first = STAILQ_FIRST(&async->done), *last = NULL, *t = first;
	unsigned int count;

	for (count = 0; count < max && t && transfer_is_reusable(t); count++) {
		ops[count] = async_submission(t)->op;
		last = t;
		t = STAILQ_NEXT(t, next);
	}
	if (!last)
		return 0;
	STAILQ_NEXT(last, next) = async->spares;
	async->spares = first;
	STAILQ_FIRST(&async->done) = t;
	if (!t)
		STAILQ_INIT(&async->done);
	return count;
}

int async_collect(struct async *async, struct operation **ops, unsigned int max)
{
	unsigned int count = 0;
	bool has_failed = false;
	struct transfer *t;

	pthread_mutex_lock(&async->sq->lock);
	do {
		count += collect_good(async, ops + count, max - count);
		t = STAILQ_FIRST(&async->done);
		if (!t || count == max)
			break;
		STAILQ_REMOVE_HEAD(&async->done, next);
		ops[count++] = async_submission(t)->op;
		has_failed = end(async_submission(t));
	} while (!has_failed);
	async->num_done -= count;
	pthread_mutex_unlock(&async->sq->lock);
	return (int)count;
}

struct operation *async_get_completed(struct async *async)
{
	struct operation *op;

	return async_collect(async, &op, 1) ? op : NULL;
}

struct operation *async_get_overdue(struct async *async)
{
	struct operation *op = NULL;
	struct submission *submission;

	pthread_mutex_lock(&async->sq->lock);
	TAILQ_FOREACH(submission, &async->overdue, link)
		if (submission->state == SUBMISSION_OVERDUE)
			break;
	if (submission) {
		submission->state = SUBMISSION_REPORTED;
		op = submission->op;
		error_set(ETIMEDOUT, "%s", async_sentence(submission));
	}
	pthread_mutex_unlock(&async->sq->lock);
	return op;
}

/* The lock is held. */
static struct submission *find_pending(const struct async *async,
				       const struct operation *op)
{
	struct submission *submission;

	TAILQ_FOREACH(submission, &async->pending, link)
		if (submission->op == op)
			return submission;
	return NULL;
}

/* Another thread works on the operation, and may be copying to its buffer, which the
 * program can use again once the cancellation returns. */
static void wait_until_done(struct async *async, const struct operation *op)
{
	bool is_pending;

	do {
		sched_yield();
		pthread_mutex_lock(&async->sq->lock);
		is_pending = find_pending(async, op);
		pthread_mutex_unlock(&async->sq->lock);
	} while (is_pending);
}

void async_cancel(struct async *async, struct operation *op)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	enum cancelled cancelled = CANCELLED_NOW;
	struct submission *submission;

	pthread_mutex_lock(&async->sq->lock);
	submission = find_pending(async, op);
	if (submission) {
		blocking_cancelled(async->sq->dev, op);
		cancelled = async_give_up(submission, false, &work);
	}
	pthread_mutex_unlock(&async->sq->lock);
	carry_work(&work);
	if (cancelled == CANCELLED_SOON)
		wait_until_done(async, op);
}

/* ---- open and close ----------------------------------------------------------------------- */

int async_open(struct async **result, struct device *dev)
{
	struct async *async = calloc(1, sizeof(*async));

	if (!async)
		return error_set(ENOMEM, "%s: no memory for an async", dev->vu.path);
	async->sq = blocking_next_queue(dev);
	async->event_fd = -1;
	TAILQ_INIT(&async->pending);
	TAILQ_INIT(&async->held);
	TAILQ_INIT(&async->overdue);
	STAILQ_INIT(&async->done);
	TAILQ_INIT(&async->waiters);
	pthread_cond_init(&async->has_work, NULL);
	*result = async;
	return 0;
}

static void cancel_list(struct submission_list *list, struct transfer_list *work)
{
	struct submission *submission, *next;

	for (submission = TAILQ_FIRST(list); submission; submission = next) {
		next = TAILQ_NEXT(submission, link);
		blocking_cancelled(submission->transfer.sq->dev, submission->op);
		async_give_up(submission, true, work);
	}
}

static void cancel_all(struct async *async)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);

	pthread_mutex_lock(&async->sq->lock);
	async->is_closing = true;
	pthread_cond_signal(&async->has_work);
	/* A thread may wait for the eventfd even if nothing is in flight. */
	async_announce(async);
	cancel_list(&async->pending, &work);
	cancel_list(&async->overdue, &work);
	pthread_mutex_unlock(&async->sq->lock);
	carry_work(&work);
	/* A transfer that another thread is working on finishes soon. */
	async_wait_for_all(async);
}

static void free_spares(struct async *async)
{
	struct transfer *t;

	while ((t = async->spares)) {
		async->spares = STAILQ_NEXT(t, next);
		transfer_free(t);
	}
}

void async_shutdown(struct async *async)
{
	pthread_mutex_lock(&async->sq->lock);
	async->is_shut = true;
	async_announce(async);
	pthread_mutex_unlock(&async->sq->lock);
}

/* Keeps the calling thread's sentence, because a program may close the async after
 * another call has failed. */
void async_close(struct async *async)
{
	struct error_kept kept = error_keep();

	if (!async)
		return;
	cancel_all(async);
	if (async->event_fd >= 0) {
		pthread_join(async->thread, NULL);
		close(async->event_fd);
	}
	while (async_get_completed(async))
		;
	free_spares(async);
	pthread_cond_destroy(&async->has_work);
	free(async);
	error_restore(&kept);
}
