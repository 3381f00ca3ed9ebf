/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The states of a submission: pending, overdue, done; see library/async.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "library/async.h"
#include "library/stages.h"

bool async_is_satisfied(const struct async *async, const struct async_waiter *w)
{
	if (async->num_done >= w->min || (async->is_shut && !w->is_ours))
		return true;
	return !async->num_pending &&
	       (!w->waits_for_overdue || !async->num_overdue);
}

void async_announce(struct async *async)
{
	const uint64_t one = 1;
	struct async_waiter *w;

	TAILQ_FOREACH(w, &async->waiters, link)
		if (async_is_satisfied(async, w))
			poller_wake(&async->sq->poller, &w->waiter);
	/* The write fails only if the counter is full: then it is readable anyway. */
	if (async->event_fd >= 0 && write(async->event_fd, &one, sizeof(one)) < 0)
		return;
}

/* The lock is held. The submission is in no list afterwards. */
static void take_out(struct submission *submission)
{
	struct async *async = submission->async;

	if (submission->is_overdue) {
		TAILQ_REMOVE(&async->overdue, submission, link);
		async->num_overdue--;
	} else {
		TAILQ_REMOVE(&async->pending, submission, link);
		async->num_pending--;
	}
	free(submission->sentence);
	submission->sentence = NULL;
}

/* The lock is held. */
static void complete(struct submission *submission, int64_t result, char *sentence)
{
	struct async *async = submission->async;

	take_out(submission);
	submission->op->result = result;
	submission->sentence = sentence;
	submission->transfer = NULL;
	TAILQ_INSERT_TAIL(&async->done, submission, link);
	async->num_done++;
	async_announce(async);
}

/* The lock is held, and the submission is pending. */
static void make_overdue(struct submission *submission)
{
	struct async *async = submission->async;

	take_out(submission);
	submission->is_overdue = true;
	submission->sentence = strdup(error_message());
	TAILQ_INSERT_TAIL(&async->overdue, submission, link);
	async->num_overdue++;
	async_announce(async);
}

void async_finished(struct transfer *t)
{
	struct submission *submission = t->context;
	struct async *async = submission->async;
	int64_t result = blocking_result(t);

	pthread_mutex_lock(&async->lock);
	complete(submission, result, t->sentence);
	t->sentence = NULL;
	pthread_mutex_unlock(&async->lock);
	transfer_free(t);
}

enum cancelled async_give_up(struct submission *submission, bool leaves_memory,
			      struct transfer_list *work)
{
	enum cancelled cancelled =
		shared_queue_cancel(submission->transfer, leaves_memory, work);

	if (cancelled == CANCELLED_NOW)
		complete(submission, -ETIMEDOUT, strdup(error_message()));
	return cancelled;
}

void async_expire(struct async *async)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	uint64_t now_ns = clock_now_ns();
	struct submission *submission, *next;

	pthread_mutex_lock(&async->lock);
	for (submission = TAILQ_FIRST(&async->pending); submission; submission = next) {
		next = TAILQ_NEXT(submission, link);
		if (transfer_deadline_ns(submission->transfer) > now_ns)
			continue;
		blocking_timed_out(async->sq->dev, submission->op);
		if (async_give_up(submission, false, &work) == CANCELLED_LATER)
			make_overdue(submission);
	}
	pthread_mutex_unlock(&async->lock);
	carry_work(&work);
}

int async_refuse(const struct async *async)
{
	return error_set(ECANCELED, "%s: the operations were closed",
			 async->sq->dev->vu.path);
}
