/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of flights: done, given up, overdue; see library/async.h. */
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
	return !async->num_under_way &&
	       (!w->waits_for_overdue || !async->num_overdue);
}

void async_announce(struct async *async)
{
	const uint64_t one = 1;
	struct async_waiter *w;

	TAILQ_FOREACH(w, &async->waiters, link)
		if (async_is_satisfied(async, w))
			poller_wake(&async->sq->poller, &w->waiter);
	/* If the counter is full, the program has been told. */
	if (async->event_fd >= 0 && write(async->event_fd, &one, sizeof(one)) < 0)
		return;
}

/* The lock is held. The flight is in neither list afterwards. */
static void take_out(struct flight *flight)
{
	struct async *async = flight->async;

	if (flight->is_overdue) {
		TAILQ_REMOVE(&async->overdue, flight, link);
		async->num_overdue--;
	} else {
		TAILQ_REMOVE(&async->under_way, flight, link);
		async->num_under_way--;
	}
	free(flight->sentence);
	flight->sentence = NULL;
}

/* The lock is held. */
static void complete(struct flight *flight, int64_t result, char *sentence)
{
	struct async *async = flight->async;

	take_out(flight);
	flight->op->result = result;
	flight->sentence = sentence;
	flight->transfer = NULL;
	TAILQ_INSERT_TAIL(&async->done, flight, link);
	async->num_done++;
	async_announce(async);
}

/* The lock is held, and the flight is under way. */
static void make_overdue(struct flight *flight)
{
	struct async *async = flight->async;

	take_out(flight);
	flight->is_overdue = true;
	flight->sentence = strdup(error_message());
	TAILQ_INSERT_TAIL(&async->overdue, flight, link);
	async->num_overdue++;
	async_announce(async);
}

void async_finished(struct transfer *t)
{
	struct flight *flight = t->context;
	struct async *async = flight->async;
	int64_t result = blocking_result(t);

	pthread_mutex_lock(&async->lock);
	complete(flight, result, t->sentence);
	t->sentence = NULL;
	pthread_mutex_unlock(&async->lock);
	transfer_free(t);
}

enum cancelled async_give_up(struct flight *flight, bool leaves_memory,
			      struct transfer_list *work)
{
	enum cancelled cancelled =
		shared_queue_cancel(flight->transfer, leaves_memory, work);

	if (cancelled == CANCELLED_NOW)
		complete(flight, -ETIMEDOUT, strdup(error_message()));
	return cancelled;
}

void async_expire(struct async *async)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	uint64_t now_ns = clock_now_ns();
	struct flight *flight, *next;

	pthread_mutex_lock(&async->lock);
	for (flight = TAILQ_FIRST(&async->under_way); flight; flight = next) {
		next = TAILQ_NEXT(flight, link);
		if (transfer_deadline_ns(flight->transfer) > now_ns)
			continue;
		blocking_timed_out(async->sq->dev, flight->op);
		if (async_give_up(flight, false, &work) == CANCELLED_LATER)
			make_overdue(flight);
	}
	pthread_mutex_unlock(&async->lock);
	carry_work(&work);
}

int async_refuse(const struct async *async)
{
	return error_set(ECANCELED, "%s: the operations were closed",
			 async->sq->dev->vu.path);
}
