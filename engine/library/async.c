/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations submitted, cancelled and collected; see library/async.h. */
#include "library/async.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "library/prepare.h"
#include "library/stages.h"

/* ---- submission ---------------------------------------------------------------- */

/* For a submission that did not begin. */
static int drop(struct submission *submission, int code)
{
	transfer_free(submission->transfer);
	free(submission);
	return code;
}

static int add_pending(struct async *async, struct submission *submission,
		       struct transfer_list *work)
{
	int code = 0;

	pthread_mutex_lock(&async->lock);
	if (async->is_shut) {
		code = async_refuse(async);
	} else {
		TAILQ_INSERT_TAIL(&async->pending, submission, link);
		if (!async->num_pending++)
			pthread_cond_signal(&async->has_work);
		async_begin(submission, work);
	}
	pthread_mutex_unlock(&async->lock);
	return code;
}

static struct submission *make_submission(struct async *async, struct operation *op,
					  int *code)
{
	struct submission *submission = calloc(1, sizeof(*submission));
	struct transfer *transfer = malloc(sizeof(*transfer));

	*code = submission && transfer ? prepare_transfer(transfer, async->sq, op) :
					 error_set(ENOMEM, "no memory for an operation");
	if (*code) {
		free(transfer);
		free(submission);
		return NULL;
	}
	transfer->finished = async_finished;
	transfer->context = submission;
	submission->async = async;
	submission->op = op;
	submission->transfer = transfer;
	submission->is_barrier = op->flags & OPERATION_BARRIER;
	return submission;
}

int async_submit(struct async *async, struct operation *op)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	int code;
	struct submission *submission = make_submission(async, op, &code);

	if (!submission)
		return code;
	code = add_pending(async, submission, &work);
	if (code)
		return drop(submission, code);
	carry_work(&work);
	return 0;
}

int async_submit_many(struct async *async, struct operation *const *ops,
		      unsigned int count)
{
	unsigned int begun = 0;
	int code = 0;

	while (begun < count && !code) {
		code = async_submit(async, ops[begun]);
		begun += !code;
	}
	return begun ? (int)begun : code;
}

/* ---- collecting and cancelling ------------------------------------------------------ */

struct operation *async_get_completed(struct async *async)
{
	struct operation *op = NULL;
	struct submission *submission;

	pthread_mutex_lock(&async->lock);
	submission = TAILQ_FIRST(&async->done);
	if (submission) {
		TAILQ_REMOVE(&async->done, submission, link);
		async->num_done--;
	}
	pthread_mutex_unlock(&async->lock);
	if (!submission)
		return NULL;
	op = submission->op;
	if (submission->sentence)
		error_set((int)-op->result, "%s", submission->sentence);
	free(submission->sentence);
	free(submission);
	return op;
}

int async_collect(struct async *async, struct operation **ops, unsigned int max)
{
	unsigned int count = 0;

	while (count < max && (ops[count] = async_get_completed(async)))
		if (ops[count++]->result < 0)
			break;
	return (int)count;
}

struct operation *async_get_overdue(struct async *async)
{
	struct operation *op = NULL;
	struct submission *submission;

	pthread_mutex_lock(&async->lock);
	TAILQ_FOREACH(submission, &async->overdue, link)
		if (!submission->is_reported)
			break;
	if (submission) {
		submission->is_reported = true;
		op = submission->op;
		error_set(ETIMEDOUT, "%s",
			  submission->sentence ? submission->sentence : "");
	}
	pthread_mutex_unlock(&async->lock);
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
		pthread_mutex_lock(&async->lock);
		is_pending = find_pending(async, op);
		pthread_mutex_unlock(&async->lock);
	} while (is_pending);
}

void async_cancel(struct async *async, struct operation *op)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	enum cancelled cancelled = CANCELLED_NOW;
	struct submission *submission;

	pthread_mutex_lock(&async->lock);
	submission = find_pending(async, op);
	if (submission) {
		blocking_cancelled(async->sq->dev, op);
		cancelled = async_give_up(submission, false, &work);
	}
	pthread_mutex_unlock(&async->lock);
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
	TAILQ_INIT(&async->done);
	TAILQ_INIT(&async->waiters);
	pthread_mutex_init(&async->lock, NULL);
	pthread_cond_init(&async->has_work, NULL);
	*result = async;
	return 0;
}

static void cancel_list(struct submission_list *list, struct transfer_list *work)
{
	struct submission *submission, *next;

	for (submission = TAILQ_FIRST(list); submission; submission = next) {
		next = TAILQ_NEXT(submission, link);
		blocking_cancelled(submission->async->sq->dev, submission->op);
		async_give_up(submission, true, work);
	}
}

static void cancel_all(struct async *async)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);

	pthread_mutex_lock(&async->lock);
	async->is_closing = true;
	pthread_cond_signal(&async->has_work);
	/* A thread may wait for the eventfd even if nothing is in flight. */
	async_announce(async);
	cancel_list(&async->pending, &work);
	cancel_list(&async->overdue, &work);
	pthread_mutex_unlock(&async->lock);
	carry_work(&work);
	/* A transfer that another thread is working on finishes soon. */
	async_wait_for_all(async);
}

void async_shutdown(struct async *async)
{
	pthread_mutex_lock(&async->lock);
	async->is_shut = true;
	async_announce(async);
	pthread_mutex_unlock(&async->lock);
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
	pthread_cond_destroy(&async->has_work);
	pthread_mutex_destroy(&async->lock);
	free(async);
	error_restore(&kept);
}
