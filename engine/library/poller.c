/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides which thread looks for completions; see library/poller.h. */
#include "library/poller.h"

#include <limits.h>

#include "base/clock.h"
#include "base/futex.h"

enum turn {
	TURN_FREE,  /* nobody has the turn, and nobody sleeps */
	TURN_TAKEN, /* there is a poller, or a thread that must become it */
	TURN_OPEN,  /* there is no poller, but there are sleepers: the threads that poll
		     * briefly look for them, and the last of them passes the turn on */
};

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

/* Barrier W, with ask_calls(). */
void poller_wake(struct poller *poller, struct waiter *waiter)
{
	uint32_t before = __atomic_exchange_n(&waiter->state, WAITER_DONE,
					      __ATOMIC_SEQ_CST);

	if (before == WAITER_SLEEPS)
		futex_wake(&waiter->state);
	else if (before == WAITER_POLLS && waiter != own_turn)
		poller->source.interrupt(poller->source.context);
}

/* ---- turns ----------------------------------------------------------------- */

/* The lock is held for these two. */
static void add_sleeper(struct poller *poller, struct waiter *waiter)
{
	TAILQ_INSERT_TAIL(&poller->sleepers, waiter, link);
	__atomic_fetch_add(&poller->num_sleepers, 1, __ATOMIC_RELAXED);
}

static void remove_sleeper(struct poller *poller, struct waiter *waiter)
{
	TAILQ_REMOVE(&poller->sleepers, waiter, link);
	__atomic_fetch_sub(&poller->num_sleepers, 1, __ATOMIC_RELAXED);
}

/* Returns true if the waiter becomes the poller at once. Otherwise it becomes a
 * sleeper. */
static bool enter(struct poller *poller, struct waiter *waiter)
{
	bool is_poller;

	pthread_mutex_lock(&poller->lock);
	is_poller = waiter->is_poller = poller->turn != TURN_TAKEN;
	if (!is_poller)
		add_sleeper(poller, waiter);
	__atomic_store_n(&poller->turn, TURN_TAKEN, __ATOMIC_RELAXED);
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
		remove_sleeper(poller, next);
		__atomic_store_n(&poller->turn, TURN_TAKEN, __ATOMIC_RELAXED);
		return next;
	}
	__atomic_store_n(&poller->turn, TURN_FREE, __ATOMIC_RELAXED);
	return NULL;
}

/* Barrier T, with end_brief_poll(): here the turn is opened, then the brief pollers are
 * counted; there the count goes down, then the turn is looked at. Both are sequentially
 * consistent, so at least one of the two sides sees what the other did. Otherwise both
 * could rely on each other, and the sleepers would have no poller. */
static struct waiter *open_turn(struct poller *poller, bool *sleeps)
{
	__atomic_store_n(&poller->turn, TURN_OPEN, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&poller->num_brief, __ATOMIC_SEQ_CST))
		return NULL;
	return pass_turn(poller, sleeps);
}

static void leave(struct poller *poller, struct waiter *waiter)
{
	struct waiter *next = NULL;
	bool sleeps = false;

	pthread_mutex_lock(&poller->lock);
	/* If the turn came just after the deadline, it is passed on below. */
	change(waiter, WAITER_TURN, WAITER_RUNS);
	change(waiter, WAITER_POLLS, WAITER_RUNS);
	if (waiter->is_poller && TAILQ_EMPTY(&poller->sleepers))
		__atomic_store_n(&poller->turn, TURN_FREE, __ATOMIC_RELAXED);
	else if (waiter->is_poller)
		next = open_turn(poller, &sleeps);
	else
		remove_sleeper(poller, waiter);
	pthread_mutex_unlock(&poller->lock);
	if (next && sleeps)
		futex_wake(&next->state);
}

/* Called by a sleeper whose poller has perhaps no CPU. Returns true if there is no
 * poller, so that the sleeper becomes it. */
static bool take_open_turn(struct poller *poller, struct waiter *waiter)
{
	bool is_open;

	pthread_mutex_lock(&poller->lock);
	is_open = poller->turn == TURN_OPEN;
	if (is_open) {
		remove_sleeper(poller, waiter);
		waiter->is_poller = true;
		__atomic_store_n(&poller->turn, TURN_TAKEN, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&poller->lock);
	return is_open;
}

static void begin_brief_poll(struct poller *poller)
{
	__atomic_fetch_add(&poller->num_brief, 1, __ATOMIC_SEQ_CST);
}

/* Barrier T, with open_turn(). */
static void end_brief_poll(struct poller *poller)
{
	struct waiter *next = NULL;
	bool sleeps = false;

	if (__atomic_fetch_sub(&poller->num_brief, 1, __ATOMIC_SEQ_CST) > 1 ||
	    __atomic_load_n(&poller->turn, __ATOMIC_SEQ_CST) != TURN_OPEN)
		return;
	pthread_mutex_lock(&poller->lock);
	if (poller->turn == TURN_OPEN)
		next = open_turn(poller, &sleeps);
	pthread_mutex_unlock(&poller->lock);
	if (next && sleeps)
		futex_wake(&next->state);
}

/* ---- waiting ---------------------------------------------------------------- */

/* A hint, because it is read without the lock. */
static bool is_first(const struct poller *poller)
{
	return !__atomic_load_n(&poller->num_brief, __ATOMIC_RELAXED) &&
	       __atomic_load_n(&poller->turn, __ATOMIC_RELAXED) != TURN_TAKEN;
}

/* Barrier K, with itself in another thread: what was published before the kick was taken
 * over (release) is visible to the back-end after a kick by the thread that takes it
 * from there (acquire). */
bool poller_takes_kick(struct poller *poller)
{
	if (is_first(poller) || !brief_poll_yields(&poller->brief))
		return false;
	__atomic_store_n(&poller->owes_kick, true, __ATOMIC_RELEASE);
	return true;
}

/* If another thread has just taken the kick, it is about to kick for this one, too. */
static void take_kick(struct poller *poller)
{
	if (__atomic_exchange_n(&poller->owes_kick, false, __ATOMIC_ACQUIRE))
		poller->source.kick(poller->source.context);
}

/* Usually a load and a branch, because it is a part of every look. */
static inline void kick_if_owed(struct poller *poller)
{
	if (__builtin_expect(__atomic_load_n(&poller->owes_kick, __ATOMIC_RELAXED), 0))
		take_kick(poller);
}

unsigned int poller_look(struct poller *poller)
{
	unsigned int count;

	kick_if_owed(poller);
	count = poller->source.look(poller->source.context);
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

static bool has_others(const struct poller *poller)
{
	return __atomic_load_n(&poller->num_brief, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&poller->num_sleepers, __ATOMIC_RELAXED);
}

/* Ends wait_until() when the poller's own wait is over. */
static unsigned int look(void *context)
{
	struct poller *poller = context;

	if (poller->wait.kind == WAIT_BUSY && has_others(poller))
		brief_poll_give_way(&poller->brief);
	poller->found += poller_look(poller);
	return poller_is_awake(poller->own) ? UINT_MAX : poller->found;
}

static bool ask_calls(void *context)
{
	struct poller *poller = context;

	/* Barrier W, with poller_wake(): here calls are asked for, then the state is looked
	 * at; there the state is changed, then interrupt() looks whether calls are asked
	 * for. All four are sequentially consistent, so at least one of the two sides sees
	 * what the other did. Otherwise the poller could sleep although it is awake. */
	return poller->source.ask_calls(poller->source.context) ||
	       __atomic_load_n(&poller->own->state, __ATOMIC_SEQ_CST) == WAITER_DONE;
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
	poller->own = own_turn = waiter;
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

struct brief_look {
	struct poller *poller;
	const struct waiter *waiter;
};

/* After a yield, another thread has often found the completion already. */
static bool look_briefly(void *context)
{
	const struct brief_look *brief = context;

	if (!poller_is_awake(brief->waiter))
		poller_look(brief->poller);
	return poller_is_awake(brief->waiter);
}

/* Sleeps until the wait is over or until it is this thread's turn, but only until
 * until_ns. */
static void sleep_until(struct waiter *waiter, uint64_t until_ns)
{
	change(waiter, WAITER_RUNS, WAITER_SLEEPS);
	while (state_of(waiter) == WAITER_SLEEPS && clock_now_ns() < until_ns)
		futex_wait(&waiter->state, WAITER_SLEEPS, until_ns);
	change(waiter, WAITER_SLEEPS, WAITER_RUNS);
}

/* Returns true if the sleeper has become the poller. It also looks from time to time,
 * because the poller may have a lower priority and get no CPU. */
static bool sleep_for_turn(struct poller *poller, struct waiter *waiter,
			   uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns();

	while (now_ns < deadline_ns && state_of(waiter) == WAITER_RUNS) {
		uint64_t check_ns = now_ns + WAIT_CHECK_INTERVAL_NS;

		sleep_until(waiter, check_ns < deadline_ns ? check_ns : deadline_ns);
		now_ns = clock_now_ns();
		if (state_of(waiter) != WAITER_RUNS || now_ns < check_ns)
			continue;
		if (take_open_turn(poller, waiter))
			return true;
		poller_look(poller);
	}
	return state_of(waiter) == WAITER_TURN;
}

/* Returns true if the wait is over. Otherwise the thread still counts as one that
 * polls briefly. */
static bool poll_briefly(struct poller *poller, const struct waiter *waiter)
{
	struct brief_look context = { poller, waiter };
	struct brief_poll_progress progress = {
		.done = __atomic_load_n(&poller->found_in_all, __ATOMIC_RELAXED),
		.in_flight = in_flight(poller),
	};

	begin_brief_poll(poller);
	if (!brief_poll(&poller->brief, progress, look_briefly, &context))
		return false;
	end_brief_poll(poller);
	return true;
}

bool poller_wait(struct poller *poller, struct waiter *waiter, uint64_t deadline_ns)
{
	bool is_brief, is_poller;

	if (poller_is_awake(waiter))
		return true;
	is_brief = !is_first(poller);
	if (is_brief && poll_briefly(poller, waiter))
		return true;
	kick_if_owed(poller);
	is_poller = enter(poller, waiter);
	if (is_brief)
		end_brief_poll(poller);
	if (is_poller || sleep_for_turn(poller, waiter, deadline_ns))
		poll_until(poller, waiter, deadline_ns);
	leave(poller, waiter);
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

	poller->turn = TURN_FREE;
	poller->num_brief = 0;
	poller->owes_kick = false;
	poller->num_sleepers = 0;
	brief_poll_open(&poller->brief);
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
