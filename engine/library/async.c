/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations that a program submits and collects later: the async_ calls of
 * api.h. An async keeps to one queue and joins those who wait for it.
 *
 * Any thread calls. The lock of an async guards its lists; it is taken before
 * a queue's lock, never after one. The thread that async_fd() starts waits as
 * any other does; what it finds done makes the eventfd readable.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "library/blocking.h"
#include "library/stages.h"
#include "base/clock.h"
#include "base/error.h"

/* An operation from submission to collection. */
struct flight {
	struct async *async;
	struct operation *op;
	struct transfer *transfer; /* NULL once it is done */
	char *sentence;            /* why it failed, or NULL */
	TAILQ_ENTRY(flight) link;
};

TAILQ_HEAD(flight_list, flight);

/* A thread that waits until min flights are done, or none is under way. */
struct async_waiter {
	struct waiter waiter;
	unsigned int min;
	TAILQ_ENTRY(async_waiter) link;
};

struct async {
	struct shared_queue *sq;
	pthread_mutex_t lock;        /* guards all that follows */
	struct flight_list under_way; /* in the order of submission */
	struct flight_list done;
	TAILQ_HEAD(, async_waiter) waiters;
	unsigned int num_under_way;
	unsigned int num_done;
	int event_fd;                /* -1: nobody asked for it */
	bool is_closing;
	pthread_cond_t has_work;     /* for the thread: something is under way */
	pthread_t thread;            /* runs if event_fd is there */
};

/* ---- completion ------------------------------------------------------------- */

static bool is_satisfied(const struct async *async, unsigned int min)
{
	return async->num_done >= min || !async->num_under_way;
}

static void announce(struct async *async)
{
	const uint64_t one = 1;
	struct async_waiter *w;

	TAILQ_FOREACH(w, &async->waiters, link)
		if (is_satisfied(async, w->min))
			poller_wake(&async->sq->poller, &w->waiter);
	/* If the counter is full, the program has been told. */
	if (async->event_fd >= 0 && write(async->event_fd, &one, sizeof(one)) < 0)
		return;
}

/* The lock is held. */
static void complete(struct flight *flight, int64_t result, char *sentence)
{
	struct async *async = flight->async;

	flight->op->result = result;
	flight->sentence = sentence;
	flight->transfer = NULL;
	TAILQ_REMOVE(&async->under_way, flight, link);
	TAILQ_INSERT_TAIL(&async->done, flight, link);
	async->num_under_way--;
	async->num_done++;
	announce(async);
}

static void finished(struct transfer *t)
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

/* The lock is held. What cannot be detached finishes by itself. */
static void give_up(struct flight *flight, struct transfer_list *work)
{
	if (!shared_queue_cancel(flight->transfer, work))
		return;
	blocking_timed_out(flight->async->sq->dev, flight->op);
	complete(flight, -ETIMEDOUT, strdup(error_message()));
}

/* ---- submission ---------------------------------------------------------------- */

static void board(struct async *async, struct flight *flight)
{
	pthread_mutex_lock(&async->lock);
	TAILQ_INSERT_TAIL(&async->under_way, flight, link);
	async->num_under_way++;
	if (async->num_under_way == 1)
		pthread_cond_signal(&async->has_work);
	pthread_mutex_unlock(&async->lock);
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
	if (!flight->transfer) {
		free(flight);
		return code;
	}
	flight->transfer->finished = finished;
	flight->transfer->context = flight;
	board(async, flight);
	blocking_begin(flight->transfer);
	return 0;
}

/* ---- waiting --------------------------------------------------------------------- */

/* When it may be time to give something up. */
static uint64_t next_deadline_ns(struct async *async)
{
	uint64_t deadline_ns = UINT64_MAX;
	const struct flight *first;

	pthread_mutex_lock(&async->lock);
	first = TAILQ_FIRST(&async->under_way);
	if (first)
		deadline_ns = transfer_deadline_ns(first->transfer);
	pthread_mutex_unlock(&async->lock);
	return deadline_ns;
}

static void expire(struct async *async)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	uint64_t now_ns = clock_now_ns();
	struct flight *flight, *next;

	pthread_mutex_lock(&async->lock);
	for (flight = TAILQ_FIRST(&async->under_way); flight; flight = next) {
		next = TAILQ_NEXT(flight, link);
		if (transfer_deadline_ns(flight->transfer) <= now_ns)
			give_up(flight, &work);
	}
	pthread_mutex_unlock(&async->lock);
	carry_work(&work);
}

static void wait_until_woken(struct async *async, struct waiter *waiter,
			     uint64_t deadline_ns)
{
	struct poller *poller = &async->sq->poller;
	uint64_t expiry_ns = next_deadline_ns(async);

	while (!poller_wait(poller, waiter, expiry_ns < deadline_ns ?
					    expiry_ns : deadline_ns)) {
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= expiry_ns)
			expire(async);
		if (now_ns >= deadline_ns)
			break;
		expiry_ns = next_deadline_ns(async);
	}
}

/* How many can be collected. */
static unsigned int wait_for(struct async *async, unsigned int min,
			     uint64_t deadline_ns)
{
	struct async_waiter w = { .min = min };
	unsigned int count;

	pthread_mutex_lock(&async->lock);
	if (!is_satisfied(async, min)) {
		TAILQ_INSERT_TAIL(&async->waiters, &w, link);
		pthread_mutex_unlock(&async->lock);
		wait_until_woken(async, &w.waiter, deadline_ns);
		pthread_mutex_lock(&async->lock);
		TAILQ_REMOVE(&async->waiters, &w, link);
	}
	count = async->num_done;
	pthread_mutex_unlock(&async->lock);
	return count;
}

unsigned int async_completed(struct async *async, unsigned int min, int timeout_ms)
{
	uint64_t deadline_ns = UINT64_MAX;

	if (timeout_ms >= 0)
		deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	/* Who wants none does not wait, but would know of those that are there. */
	if (!min)
		poller_look(&async->sq->poller);
	return wait_for(async, min, deadline_ns);
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

void async_cancel(struct async *async, struct operation *op)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	struct flight *flight;

	pthread_mutex_lock(&async->lock);
	TAILQ_FOREACH(flight, &async->under_way, link)
		if (flight->op == op)
			break;
	if (flight)
		give_up(flight, &work);
	pthread_mutex_unlock(&async->lock);
	carry_work(&work);
}

/* ---- the completion eventfd ------------------------------------------------------------ */

static void *look_for_completions(void *context)
{
	struct async *async = context;

	pthread_mutex_lock(&async->lock);
	while (!async->is_closing) {
		if (!async->num_under_way) {
			pthread_cond_wait(&async->has_work, &async->lock);
			continue;
		}
		pthread_mutex_unlock(&async->lock);
		wait_for(async, UINT_MAX, UINT64_MAX);
		pthread_mutex_lock(&async->lock);
	}
	pthread_mutex_unlock(&async->lock);
	return NULL;
}

/* The lock is held. What is done already counts. */
static int start_thread(struct async *async)
{
	int fd = eventfd(async->num_done, EFD_CLOEXEC | EFD_NONBLOCK);
	int code;

	if (fd < 0)
		return error_set(errno, "cannot make an eventfd: %s",
				 strerror(errno));
	code = pthread_create(&async->thread, NULL, look_for_completions, async);
	if (code) {
		close(fd);
		return error_set(code, "cannot start a thread: %s", strerror(code));
	}
	async->event_fd = fd;
	return 0;
}

int async_fd(struct async *async)
{
	int fd, code = 0;

	pthread_mutex_lock(&async->lock);
	if (async->event_fd < 0)
		code = start_thread(async);
	fd = async->event_fd;
	pthread_mutex_unlock(&async->lock);
	return code ? code : fd;
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
	TAILQ_INIT(&async->done);
	TAILQ_INIT(&async->waiters);
	pthread_mutex_init(&async->lock, NULL);
	pthread_cond_init(&async->has_work, NULL);
	*result = async;
	return 0;
}

static void cancel_all(struct async *async)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	struct flight *flight, *next;

	pthread_mutex_lock(&async->lock);
	async->is_closing = true;
	pthread_cond_signal(&async->has_work);
	for (flight = TAILQ_FIRST(&async->under_way); flight; flight = next) {
		next = TAILQ_NEXT(flight, link);
		give_up(flight, &work);
	}
	pthread_mutex_unlock(&async->lock);
	carry_work(&work);
	/* The rest finishes in a moment. */
	wait_for(async, UINT_MAX, UINT64_MAX);
}

void async_close(struct async *async)
{
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
}
