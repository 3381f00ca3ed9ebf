/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waits for operations, and runs the thread behind the eventfd; see library/async.h. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "library/async.h"

/* ---- waiting --------------------------------------------------------------------- */

static void wait_until_woken(struct async *async, struct waiter *waiter,
			     uint64_t deadline_ns)
{
	struct poller *poller = &async->sq->poller;
	uint64_t expiry_ns = async_next_expiry_ns(async);

	while (!poller_wait(poller, waiter, expiry_ns < deadline_ns ?
					    expiry_ns : deadline_ns)) {
		async_expire(async);
		if (clock_now_ns() >= deadline_ns)
			break;
		expiry_ns = async_next_expiry_ns(async);
	}
}

/* The lock is held, but not while the thread waits. */
static void wait_for(struct async *async, struct async_waiter *w, uint64_t deadline_ns)
{
	/* If something is pending, the wait ends once all of it is done or overdue, so
	 * that the program learns at once what became overdue. */
	w->waits_for_overdue &= w->is_ours || !async->num_pending;
	if (!async_is_satisfied(async, w)) {
		TAILQ_INSERT_TAIL(&async->waiters, w, link);
		pthread_mutex_unlock(&async->sq->lock);
		wait_until_woken(async, &w->waiter, deadline_ns);
		pthread_mutex_lock(&async->sq->lock);
		TAILQ_REMOVE(&async->waiters, w, link);
	}
}

void async_wait_for_all(struct async *async)
{
	struct async_waiter w = { .min = UINT_MAX, .waits_for_overdue = true,
				  .is_ours = true };

	pthread_mutex_lock(&async->sq->lock);
	wait_for(async, &w, UINT64_MAX);
	pthread_mutex_unlock(&async->sq->lock);
}

/* The lock is held. */
static int explain_overdue(const struct async *async)
{
	return error_set(ETIMEDOUT, "%s, and still has its memory (overdue operations: "
			 "%u): keep waiting, or close the disk",
			 async_sentence(TAILQ_FIRST(&async->overdue)),
			 async->num_overdue);
}

/* The lock is held. How many can be collected, or a negative errno if none can be. */
static int outcome(const struct async *async)
{
	if (async->is_shut)
		return async_refuse(async);
	if (async->num_done || async->num_pending || !async->num_overdue)
		return (int)async->num_done;
	return explain_overdue(async);
}

static int wait_for_outcome(struct async *async, struct async_waiter *w,
			    uint64_t deadline_ns)
{
	int code;

	pthread_mutex_lock(&async->sq->lock);
	wait_for(async, w, deadline_ns);
	code = outcome(async);
	pthread_mutex_unlock(&async->sq->lock);
	return code;
}

/* Finds completions and, every 10 ms, a hang-up. */
static void look_once(struct async *async)
{
	poller_look(&async->sq->poller);
	poller_check(&async->sq->poller);
}

int async_completed(struct async *async, unsigned int min, int timeout_ms)
{
	struct async_waiter w = { .min = min, .waits_for_overdue = timeout_ms >= 0 };
	uint64_t deadline_ns = UINT64_MAX;
	int code;

	if (timeout_ms >= 0)
		deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	if (!min)
		look_once(async);
	/* A program that always finds something done never waits until a deadline. */
	if (clock_last_tick_ns() >= async_next_expiry_ns(async))
		async_expire(async);
	code = wait_for_outcome(async, &w, deadline_ns);
	/* It returned at once, so it has not looked at the ring. */
	if (code == -ETIMEDOUT && timeout_ms < 0) {
		look_once(async);
		pthread_mutex_lock(&async->sq->lock);
		code = outcome(async);
		pthread_mutex_unlock(&async->sq->lock);
	}
	return code;
}

/* ---- the completion eventfd ------------------------------------------------------------ */

/* The lock is held. While only overdue operations are in flight, one look every 10 ms
 * is enough: with wait=busy, a back-end that hangs would otherwise cost a CPU. */
static void wait_for_work(struct async *async)
{
	uint64_t until_ns = clock_now_ns() + WAIT_CHECK_INTERVAL_NS;
	struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
				  .tv_nsec = (long)(until_ns % NS_PER_S) };

	if (!async->num_overdue) {
		pthread_cond_wait(&async->has_work, &async->sq->lock);
		return;
	}
	pthread_cond_clockwait(&async->has_work, &async->sq->lock, CLOCK_MONOTONIC, &until);
	pthread_mutex_unlock(&async->sq->lock);
	look_once(async);
	pthread_mutex_lock(&async->sq->lock);
}

static void *look_for_completions(void *context)
{
	struct async_waiter w = { .is_ours = true };
	struct async *async = context;

	pthread_mutex_lock(&async->sq->lock);
	while (!async->is_closing) {
		if (!async->num_pending || async->watch == WATCH_PAUSED) {
			wait_for_work(async);
			continue;
		}
		w.min = async->watch == WATCH_ONCE ? 1 : UINT_MAX;
		w.waiter = (struct waiter){ 0 };
		wait_for(async, &w, UINT64_MAX);
	}
	pthread_mutex_unlock(&async->sq->lock);
	return NULL;
}

/* The lock is held. The eventfd also counts what was done before it existed. */
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

	pthread_mutex_lock(&async->sq->lock);
	if (async->event_fd < 0)
		code = start_thread(async);
	fd = async->event_fd;
	pthread_mutex_unlock(&async->sq->lock);
	return code ? code : fd;
}

static bool has_news(const struct async *async)
{
	const struct submission *submission;

	if (async->num_done)
		return true;
	TAILQ_FOREACH(submission, &async->overdue, link)
		if (submission->state == SUBMISSION_OVERDUE)
			return true;
	return false;
}

void async_arm(struct async *async)
{
	pthread_mutex_lock(&async->sq->lock);
	async->watch = WATCH_ONCE;
	if (has_news(async))
		async_announce(async);
	else if (async->num_pending)
		pthread_cond_signal(&async->has_work);
	pthread_mutex_unlock(&async->sq->lock);
}
