/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decides which thread looks for completions. Of all threads that wait for one
 * queue, one is the poller: it looks in the chosen way of waiting, and wakes the
 * threads whose requests it finds done. The others sleep, each on its own futex.
 * When the request of the poller itself is done, it passes the turn on. So a thread
 * that waits alone finds its own completion, and no other thread has to wake it.
 *
 * A thread that arrives while others wait polls briefly before it sleeps (see
 * library/brief_poll.h). While a thread polls briefly, nobody has to be woken to take
 * the turn. Sleepers also look every 10 ms, because a poller may get no CPU.
 *
 * Any thread may wait and wake. This file knows callbacks, but no queue and no device.
 */
#ifndef POLLER_H
#define POLLER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "library/brief_poll.h"
#include "wait/wait.h"

/* One wait of one thread. All zeros before, and used for one wait. */
struct waiter {
	uint32_t state;  /* enum waiter_state; also the futex */
	bool is_poller;  /* guarded by poller.lock */
	TAILQ_ENTRY(waiter) link;
};

struct poller_source {
	void *context;
	/* Looks once, calls poller_wake() for all that is done, and returns how
	 * many completions it found. Any thread. */
	unsigned int (*look)(void *context);
	/* Only the poller calls these two; see wait/wait.h. */
	bool (*ask_calls)(void *context);
	void (*refuse_calls)(void *context);
	/* Ends the poller's wait for a call. Other threads call it, with or without the
	 * source's lock. */
	void (*interrupt)(void *context);
	/* Kicks the back-end; see poller_takes_kick(). Any thread. */
	void (*kick)(void *context);
	/* How many requests are in flight. Any thread. */
	unsigned int (*in_flight)(void *context);
	/* Checks for hang-ups. The poller and poller_check() call it every 10 ms. */
	void (*check)(void *context);
	/* As in wait/wait.h. */
	struct pollfd *fds;
	unsigned int num_eventfds;
	unsigned int num_fds;
};

struct poller {
	pthread_mutex_t lock;
	uint32_t turn;                     /* enum turn; atomic, set with the lock held */
	unsigned int num_brief;            /* atomic: threads that poll briefly */
	bool owes_kick;                    /* atomic */
	TAILQ_HEAD(, waiter) sleepers;     /* waiters that are not the poller */
	unsigned int num_sleepers;         /* atomic, set with the lock held */
	struct poller_source source;       /* constant after poller_open() */
	/* Used only by the poller. */
	struct wait wait;
	const struct waiter *own;          /* the poller's waiter */
	unsigned int found;                /* in this wait_until() */
	/* Used by all threads. */
	uint64_t found_in_all;             /* atomic: by all threads that look */
	struct brief_poll brief;
	uint64_t checked_ns;               /* atomic: the last poller_check() */
};

void poller_open(struct poller *poller, enum wait_kind kind,
		 unsigned int sleepy_poll_us, const struct poller_source *source);
/* No thread may be waiting. */
void poller_close(struct poller *poller);

/* Returns true once poller_wake(waiter) was called, or false at deadline_ns
 * (CLOCK_MONOTONIC; UINT64_MAX: none). May be called again after false. */
bool poller_wait(struct poller *poller, struct waiter *waiter, uint64_t deadline_ns);
/* For a thread that has published the request for which it waits next, and that would
 * kick now. Returns true if the poller takes over the kick, because other threads on this
 * CPU may publish further requests first. The next look of any thread kicks, and so does
 * poller_wait() before it sleeps. If the wait is over before that, the back-end has seen
 * the request. */
bool poller_takes_kick(struct poller *poller);
/* Looks once, and returns how many completions it found. Any thread, poller or not. */
unsigned int poller_look(struct poller *poller);
/* For threads that look without waiting: calls check() if the last check was 10 ms ago
 * or longer. Any thread. */
void poller_check(struct poller *poller);
/* Ends the wait of waiter. Its memory may be gone when this returns. Any thread. */
void poller_wake(struct poller *poller, struct waiter *waiter);
/* True once poller_wake(waiter) was called. */
bool poller_is_awake(const struct waiter *waiter);

#endif
