/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations submitted, cancelled and collected; see library/async.h. */
#include "library/async.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "library/stages.h"

/* ---- submission ---------------------------------------------------------------- */

static int board(struct async *async, struct flight *flight)
{
	bool is_shut;

	pthread_mutex_lock(&async->lock);
	is_shut = async->is_shut;
	if (!is_shut) {
		TAILQ_INSERT_TAIL(&async->under_way, flight, link);
		if (!async->num_under_way++)
			pthread_cond_signal(&async->has_work);
	}
	pthread_mutex_unlock(&async->lock);
	return is_shut ? async_refuse(async) : 0;
}

/* What was not begun. */
static int discard(struct flight *flight, int code)
{
	if (flight->transfer)
		transfer_free(flight->transfer);
	free(flight);
	return code;
}

int async_submit(struct async *async, struct operation *op)
{
	struct flight *flight = calloc(1, sizeof(*flight));
	int code = 0;

	if (!flight)
		return error_set(ENOMEM, "no memory for an operation");
	flight->async = async;
	flight->op = op;
	flight->transfer = blocking_make_transfer(async->sq, op, &code);
	if (!flight->transfer)
		return discard(flight, code);
	flight->transfer->finished = async_finished;
	flight->transfer->context = flight;
	code = board(async, flight);
	if (code)
		return discard(flight, code);
	blocking_begin(flight->transfer);
	return 0;
}

/* ---- collecting and cancelling ------------------------------------------------------ */

struct operation *async_get_completed(struct async *async)
{
	struct operation *op = NULL;
	struct flight *flight;

	pthread_mutex_lock(&async->lock);
	flight = TAILQ_FIRST(&async->done);
	if (flight) {
		TAILQ_REMOVE(&async->done, flight, link);
		async->num_done--;
	}
	pthread_mutex_unlock(&async->lock);
	if (!flight)
		return NULL;
	op = flight->op;
	if (flight->sentence)
		error_set((int)-op->result, "%s", flight->sentence);
	free(flight->sentence);
	free(flight);
	return op;
}

struct operation *async_get_overdue(struct async *async)
{
	struct operation *op = NULL;
	struct flight *flight;

	pthread_mutex_lock(&async->lock);
	TAILQ_FOREACH(flight, &async->overdue, link)
		if (!flight->is_told)
			break;
	if (flight) {
		flight->is_told = true;
		op = flight->op;
		error_set(ETIMEDOUT, "%s", flight->sentence ? flight->sentence : "");
	}
	pthread_mutex_unlock(&async->lock);
	return op;
}

void async_cancel(struct async *async, struct operation *op)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	struct flight *flight;

	pthread_mutex_lock(&async->lock);
	TAILQ_FOREACH(flight, &async->under_way, link)
		if (flight->op == op)
			break;
	if (flight) {
		blocking_cancelled(async->sq->dev, op);
		async_give_up(flight, false, &work);
	}
	pthread_mutex_unlock(&async->lock);
	carry_work(&work);
}

/* ---- open and close ----------------------------------------------------------------------- */

int async_open(struct async **result, struct device *dev)
{
	struct async *async = calloc(1, sizeof(*async));

	if (!async)
		return error_set(ENOMEM, "%s: no memory for an async", dev->vu.path);
	async->sq = blocking_next_queue(dev);
	async->event_fd = -1;
	TAILQ_INIT(&async->under_way);
	TAILQ_INIT(&async->overdue);
	TAILQ_INIT(&async->done);
	TAILQ_INIT(&async->waiters);
	pthread_mutex_init(&async->lock, NULL);
	pthread_cond_init(&async->has_work, NULL);
	*result = async;
	return 0;
}

static void cancel_list(struct flight_list *list, struct transfer_list *work)
{
	struct flight *flight, *next;

	for (flight = TAILQ_FIRST(list); flight; flight = next) {
		next = TAILQ_NEXT(flight, link);
		blocking_cancelled(flight->async->sq->dev, flight->op);
		async_give_up(flight, true, work);
	}
}

static void cancel_all(struct async *async)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);

	pthread_mutex_lock(&async->lock);
	async->is_closing = true;
	pthread_cond_signal(&async->has_work);
	/* For threads that wait for the eventfd, also where nothing is in flight. */
	async_announce(async);
	cancel_list(&async->under_way, &work);
	cancel_list(&async->overdue, &work);
	pthread_mutex_unlock(&async->lock);
	carry_work(&work);
	/* The rest finishes in a moment. */
	async_wait_for_all(async);
}

void async_shutdown(struct async *async)
{
	pthread_mutex_lock(&async->lock);
	async->is_shut = true;
	async_announce(async);
	pthread_mutex_unlock(&async->lock);
}

/* Keeps the calling thread's sentence, as it may be called when another call
 * has failed. */
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
