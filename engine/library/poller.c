/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides which thread looks for completions; see library/poller.h. */
#include "library/poller.h"

#include <limits.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/futex.h"

/* How long a thread polls before it sleeps: about the time that it takes to fall
 * asleep, to be woken and to get the CPU back. */
#define BRIEF_POLL_NS (20 * NS_PER_US)
/* Each brief poll that succeeds adds 1 to the score, and each that fails subtracts 1.
 * After a failure at 0 the next 32 waits sleep at once, then one polls again. */
#define MAX_POLL_SCORE 8
#define MIN_POLL_SCORE (-32)

enum waiter_state {
	WAITER_RUNS,    /* polls briefly, or is about to sleep or to leave */
	WAITER_SLEEPS,  /* on the futex */
	WAITER_POLLS,   /* is the poller */
	WAITER_TURN,    /* must become the poller */
	WAITER_DONE,    /* its wait is over; final */
};

static uint32_t state_of(const struct waiter *waiter)
{
	return __atomic_load_n(&waiter->state, __ATOMIC_ACQUIRE);
}

static bool change(struct waiter *waiter, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&waiter->state, &from, to, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

bool poller_is_awake(const struct waiter *waiter)
{
	return state_of(waiter) == WAITER_DONE;
}

/* The waiter of the calling thread while this thread is the poller. */
static __thread const struct waiter *own_turn;

void poller_wake(struct poller *poller, struct waiter *waiter)
{
	uint32_t before = __atomic_exchange_n(&waiter->state, WAITER_DONE,
					      __ATOMIC_ACQ_REL);

	if (before == WAITER_SLEEPS)
		futex_wake(&waiter->state);
	else if (before == WAITER_POLLS && waiter != own_turn)
		poller->source.interrupt(poller->source.context);
}

/* ---- turns ----------------------------------------------------------------- */

/* Returns true if the waiter becomes the poller at once. */
static bool enter(struct poller *poller, struct waiter *waiter)
{
	bool is_poller;

	pthread_mutex_lock(&poller->lock);
	is_poller = waiter->is_poller = !poller->is_taken;
	poller->is_taken = true;
	if (!is_poller)
		TAILQ_INSERT_TAIL(&poller->sleepers, waiter, link);
	pthread_mutex_unlock(&poller->lock);
	return is_poller;
}

/* Makes waiter the poller, unless it is done: then it is about to leave, so it cannot
 * be the poller. */
static bool give_turn(struct waiter *waiter, bool *sleeps)
{
	uint32_t before = state_of(waiter);

	waiter->is_poller = true;
	while (before != WAITER_DONE) {
		if (change(waiter, before, WAITER_TURN)) {
			*sleeps = before == WAITER_SLEEPS;
			return true;
		}
		before = state_of(waiter);
	}
	waiter->is_poller = false;
	return false;
}

/* Returns the next poller, or NULL if all other waiters are done. */
static struct waiter *pass_turn(struct poller *poller, bool *sleeps)
{
	struct waiter *next;

	TAILQ_FOREACH(next, &poller->sleepers, link) {
		if (!give_turn(next, sleeps))
			continue;
		TAILQ_REMOVE(&poller->sleepers, next, link);
		return next;
	}
	poller->is_taken = false;
	return NULL;
}

static void leave(struct poller *poller, struct waiter *waiter)
{
	struct waiter *next = NULL;
	bool sleeps = false;

	pthread_mutex_lock(&poller->lock);
	/* If the turn came just after the deadline, it is passed on below. */
	change(waiter, WAITER_TURN, WAITER_RUNS);
	change(waiter, WAITER_POLLS, WAITER_RUNS);
	if (waiter->is_poller)
		next = pass_turn(poller, &sleeps);
	else
		TAILQ_REMOVE(&poller->sleepers, waiter, link);
	pthread_mutex_unlock(&poller->lock);
	if (next && sleeps)
		futex_wake(&next->state);
}

/* ---- waiting ---------------------------------------------------------------- */

unsigned int poller_look(struct poller *poller)
{
	unsigned int count = poller->source.look(poller->source.context);

	if (count)
		__atomic_fetch_add(&poller->found_in_all, count, __ATOMIC_RELAXED);
	return count;
}

void poller_check(struct poller *poller)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t checked_ns = __atomic_load_n(&poller->checked_ns, __ATOMIC_RELAXED);

	if (now_ns - checked_ns < WAIT_CHECK_INTERVAL_NS)
		return;
	__atomic_store_n(&poller->checked_ns, now_ns, __ATOMIC_RELAXED);
	poller->source.check(poller->source.context);
}

/* Ends wait_until() when the poller's own wait is over. */
static unsigned int look(void *context)
{
	struct poller *poller = context;

	poller->found += poller_look(poller);
	return poller_is_awake(poller->turn) ? UINT_MAX : poller->found;
}

static bool ask_calls(void *context)
{
	struct poller *poller = context;

	/* Calls are asked for first, because poller_wake() acts in the opposite order:
	 * it changes the state, then looks whether the poller waits for a call. */
	return poller->source.ask_calls(poller->source.context) ||
	       poller_is_awake(poller->turn);
}

static void refuse_calls(void *context)
{
	struct poller *poller = context;

	poller->source.refuse_calls(poller->source.context);
}

static unsigned int in_flight(void *context)
{
	struct poller *poller = context;

	return poller->source.in_flight(poller->source.context);
}

static void poll_until(struct poller *poller, struct waiter *waiter,
		       uint64_t deadline_ns)
{
	change(waiter, WAITER_RUNS, WAITER_POLLS);
	change(waiter, WAITER_TURN, WAITER_POLLS);
	poller->turn = own_turn = waiter;
	/* Looks at least once, even if the deadline has passed. */
	while (!poller_is_awake(waiter)) {
		uint64_t check_ns = clock_now_ns() + WAIT_CHECK_INTERVAL_NS;

		poller->found = 0;
		wait_until(&poller->wait, UINT_MAX,
			   check_ns < deadline_ns ? check_ns : deadline_ns);
		if (poller_is_awake(waiter))
			break;
		poller->source.check(poller->source.context);
		if (clock_now_ns() >= deadline_ns)
			break;
	}
	wait_leave(&poller->wait);
	own_turn = NULL;
}

static bool may_poll_briefly(struct poller *poller)
{
	int score = __atomic_load_n(&poller->poll_score, __ATOMIC_RELAXED);

	/* A score below 0 counts the waits until the next try. */
	if (score < 0)
		__atomic_store_n(&poller->poll_score, score + 1, __ATOMIC_RELAXED);
	return score >= 0;
}

static void learn(struct poller *poller, bool is_done)
{
	int score = __atomic_load_n(&poller->poll_score, __ATOMIC_RELAXED);

	if (is_done && score < MAX_POLL_SCORE)
		score++;
	else if (!is_done)
		score = score ? score - 1 : MIN_POLL_SCORE;
	__atomic_store_n(&poller->poll_score, score, __ATOMIC_RELAXED);
}

/* Returns true if the wait is over. */
static bool poll_briefly(struct poller *poller, const struct waiter *waiter)
{
	uint64_t until_ns = clock_now_ns() + BRIEF_POLL_NS;

	if (!may_poll_briefly(poller))
		return false;
	do {
		cpu_relax();
		poller_look(poller);
	} while (!poller_is_awake(waiter) && clock_now_ns() < until_ns);
	learn(poller, poller_is_awake(waiter));
	return poller_is_awake(waiter);
}

/* Sleeps until the wait is over, until deadline_ns, or until it is this thread's
 * turn. */
static void sleep_until(struct waiter *waiter, uint64_t deadline_ns)
{
	change(waiter, WAITER_RUNS, WAITER_SLEEPS);
	while (state_of(waiter) == WAITER_SLEEPS && clock_now_ns() < deadline_ns)
		futex_wait(&waiter->state, WAITER_SLEEPS, deadline_ns);
	change(waiter, WAITER_SLEEPS, WAITER_RUNS);
}

static void take_turns(struct poller *poller, struct waiter *waiter,
		       uint64_t deadline_ns)
{
	bool is_poller = enter(poller, waiter);

	if (!is_poller) {
		sleep_until(waiter, deadline_ns);
		is_poller = state_of(waiter) == WAITER_TURN;
	}
	if (is_poller)
		poll_until(poller, waiter, deadline_ns);
	leave(poller, waiter);
}

bool poller_wait(struct poller *poller, struct waiter *waiter, uint64_t deadline_ns)
{
	unsigned int others;

	if (poller_is_awake(waiter))
		return true;
	others = __atomic_fetch_add(&poller->num_waiting, 1, __ATOMIC_RELAXED);
	if (!others || !poll_briefly(poller, waiter))
		take_turns(poller, waiter, deadline_ns);
	__atomic_fetch_sub(&poller->num_waiting, 1, __ATOMIC_RELAXED);
	return poller_is_awake(waiter);
}

void poller_open(struct poller *poller, enum wait_kind kind,
		 unsigned int sleepy_poll_us, const struct poller_source *source)
{
	struct wait_source own = {
		.context = poller,
		.look = look,
		.ask_calls = ask_calls,
		.refuse_calls = refuse_calls,
		.fds = source->fds,
		.num_eventfds = source->num_eventfds,
		.num_fds = source->num_fds,
		.completed = &poller->found_in_all,
		.in_flight = in_flight,
	};

	poller->is_taken = false;
	poller->num_waiting = 0;
	poller->checked_ns = 0;
	poller->source = *source;
	TAILQ_INIT(&poller->sleepers);
	pthread_mutex_init(&poller->lock, NULL);
	wait_open(&poller->wait, kind, sleepy_poll_us, &own);
}

void poller_close(struct poller *poller)
{
	pthread_mutex_destroy(&poller->lock);
}
