/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The states of a submission: pending, overdue, done; see library/async.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "library/async.h"
#include "library/prepare.h"
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
	if (async->event_fd < 0 ||
	    (async->watch == WATCH_PAUSED && !async->is_shut && !async->is_closing))
		return;
	if (async->watch == WATCH_ONCE)
		async->watch = WATCH_PAUSED;
	/* The write fails only if the counter is full: then it is readable anyway. */
	if (write(async->event_fd, &one, sizeof(one)) < 0)
		return;
}

/* ---- barriers (the lock is held) ------------------------------------------------- */

static inline bool is_barrier(const struct submission *submission)
{
	return submission->flags & OPERATION_BARRIER;
}

static inline bool may_begin(const struct async *async,
			     const struct submission *submission)
{
	if (async->is_barrier_running)
		return false;
	/* The submission itself is pending, and not yet or still held. */
	return !is_barrier(submission) ||
	       async->num_pending + async->num_overdue ==
	       async->num_held + (submission->state != SUBMISSION_HELD);
}

void async_begin(struct async *async, struct submission *submission,
		 struct transfer_list *work)
{
	if (!async->num_held && may_begin(async, submission)) {
		if (is_barrier(submission))
			async->is_barrier_running = true;
		carry_start(async->sq, &submission->transfer, work);
		return;
	}
	transfer_unsend(&submission->transfer);
	submission->state = SUBMISSION_HELD;
	async->num_held++;
	TAILQ_INSERT_TAIL(&async->held, submission, held_link);
}

static void unhold(struct async *async, struct submission *submission)
{
	TAILQ_REMOVE(&async->held, submission, held_link);
	async->num_held--;
	submission->state = SUBMISSION_BEGUN;
}

/* Called after a submission was taken out. */
static void begin_held(struct async *async, struct transfer_list *work)
{
	struct submission *submission;
	uint64_t until_ns;

	if (!async->num_held)
		return;
	until_ns = clock_now_ns() + async->sq->dev->blocking->timeout_ns;
	async->held_until_ns = until_ns;
	while ((submission = TAILQ_FIRST(&async->held)) && may_begin(async, submission)) {
		unhold(async, submission);
		transfer_set_deadline(&submission->transfer, until_ns);
		if (is_barrier(submission))
			async->is_barrier_running = true;
		TAILQ_INSERT_TAIL(work, &submission->transfer, link);
	}
}

static uint64_t deadline_of(const struct submission *submission)
{
	uint64_t deadline_ns = shared_queue_deadline_ns(&submission->transfer);
	uint64_t held_until_ns = async_of(submission)->held_until_ns;

	return submission->state == SUBMISSION_HELD && deadline_ns < held_until_ns ?
	       held_until_ns : deadline_ns;
}

/* ---- states (the lock is held) --------------------------------------------------- */

static inline void take_from_pending(struct async *async, struct submission *submission)
{
	TAILQ_REMOVE(&async->pending, submission, link);
	async->num_pending--;
}

/* For a submission that is done: takes it out of all lists but the pending ones. */
static void end_rare_state(struct async *async, struct submission *submission)
{
	if (submission->state == SUBMISSION_HELD)
		unhold(async, submission);
	else if (is_barrier(submission))
		async->is_barrier_running = false;
	if (submission->state == SUBMISSION_BEGUN)
		return;
	submission->state = SUBMISSION_BEGUN;
	TAILQ_REMOVE(&async->overdue, submission, link);
	async->num_overdue--;
	TAILQ_INSERT_TAIL(&async->pending, submission, link);
	async->num_pending++;
}

/* The caller appends the transfer to those that are done, and calls begin_held() and
 * async_announce(). A whole transfer was neither held nor overdue, and has no flags. */
static inline void complete(struct async *async, struct submission *submission,
			    int64_t result)
{
	if (!submission->transfer.is_whole)
		end_rare_state(async, submission);
	take_from_pending(async, submission);
	submission->op->result = result;
	async->num_done++;
}

/* The submission is pending. */
static void make_overdue(struct submission *submission)
{
	struct async *async = async_of(submission);

	take_from_pending(async, submission);
	submission->state = SUBMISSION_OVERDUE;
	TAILQ_INSERT_TAIL(&async->overdue, submission, link);
	async->num_overdue++;
	/* The thread sleeps without a limit only while nothing is overdue. */
	pthread_cond_signal(&async->has_work);
	async_announce(async);
}

void async_finished(struct finished_list *done, struct transfer_list *work)
{
	struct transfer *last, *t = STAILQ_FIRST(done);
	struct async *async = t->context;

	do {
		complete(async, async_submission(t), blocking_result(t));
		last = t;
		t = STAILQ_NEXT(t, next);
	} while (t && t->context == async);
	finished_move(done, last, &async->done);
	begin_held(async, work);
	async_announce(async);
}

enum cancelled async_give_up(struct submission *submission, bool leaves_memory,
			      struct transfer_list *work)
{
	enum cancelled cancelled = CANCELLED_NOW;
	struct async *async = async_of(submission);
	struct transfer *t = &submission->transfer;

	if (submission->state == SUBMISSION_HELD) {
		transfer_fail(t, ETIMEDOUT, error_message());
		transfer_return_memory(t);
	} else {
		cancelled = shared_queue_cancel(t, leaves_memory, work);
	}
	if (cancelled == CANCELLED_NOW) {
		complete(async, submission, -ETIMEDOUT);
		STAILQ_INSERT_TAIL(&async->done, t, next);
		begin_held(async, work);
		async_announce(async);
	}
	return cancelled;
}

static void explain_held(const struct async *async, const struct operation *op)
{
	const struct device *dev = async->sq->dev;

	error_set(ETIMEDOUT, "%s: a %s of %llu bytes at %llu has not begun: for %llu ms "
		  "(request_timeout) no operation before the barrier was done",
		  dev->vu.path, disk_request_name((uint8_t)op->type),
		  (unsigned long long)prepare_bytes_of(op),
		  (unsigned long long)op->offset_bytes,
		  (unsigned long long)(dev->blocking->timeout_ns / NS_PER_MS));
}

static void expire(struct submission *submission, struct transfer_list *work)
{
	struct async *async = async_of(submission);

	if (submission->state == SUBMISSION_HELD)
		explain_held(async, submission->op);
	else
		blocking_timed_out(async->sq->dev, submission->op);
	if (async_give_up(submission, false, work) == CANCELLED_LATER)
		make_overdue(submission);
}

/* Progress puts a deadline off, and that of a later submission is later than now_ns by
 * the time-out, so the earliest one that is found here stays a lower limit for all. */
static void expire_all(struct async *async, uint64_t now_ns, struct transfer_list *work)
{
	uint64_t earliest_ns = now_ns + async->sq->dev->blocking->timeout_ns;
	struct submission *submission, *next;

	for (submission = TAILQ_FIRST(&async->pending); submission; submission = next) {
		uint64_t deadline_ns = deadline_of(submission);

		next = TAILQ_NEXT(submission, link);
		if (deadline_ns <= now_ns)
			expire(submission, work);
		else if (deadline_ns < earliest_ns)
			earliest_ns = deadline_ns;
	}
	__atomic_store_n(&async->next_expiry_ns, earliest_ns, __ATOMIC_RELAXED);
}

void async_expire(struct async *async)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	uint64_t now_ns = clock_now_ns();

	if (now_ns < async_next_expiry_ns(async))
		return;
	pthread_mutex_lock(&async->sq->lock);
	expire_all(async, now_ns, &work);
	pthread_mutex_unlock(&async->sq->lock);
	carry_work(&work);
}

int async_refuse(const struct async *async)
{
	return error_set(ECANCELED, "%s: the operations were closed",
			 async->sq->dev->vu.path);
}
