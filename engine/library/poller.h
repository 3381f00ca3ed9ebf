/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose turn it is to look. Of all threads that wait for one queue, one is the
 * poller: it looks in the chosen way of waiting, and wakes those whose
 * requests it finds done; the others sleep, each on a futex of its own. Once
 * the poller has what it waits for itself, it passes the turn on. So a thread
 * that is alone finds its own completion, and none is handed over. Who comes
 * while others wait looks on for an instant before it takes its place, no
 * longer than falling asleep and being woken would take.
 *
 * Any thread may wait and wake. Knows callbacks, no queue and no device.
 */
#ifndef POLLER_H
#define POLLER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "wait/wait.h"

/* One wait of one thread. All zeros before; used once. */
struct waiter {
	uint32_t state;  /* enum waiter_state; also the futex */
	bool is_poller;  /* guarded by poller.lock */
	TAILQ_ENTRY(waiter) link;
};

struct poller_source {
	void *context;
	/* Looks once, and calls poller_wake() for what is done. How much it
	 * found. Any thread. */
	unsigned int (*look)(void *context);
	/* These three by the poller alone, but ... */
	bool (*ask_calls)(void *context);
	void (*refuse_calls)(void *context);
	/* ... this one by others: ends the poller's wait for a call. */
	void (*interrupt)(void *context);
	/* How many requests are on their way. */
	unsigned int (*in_flight)(void *context);
	/* Every some milliseconds, by the poller or poller_check(): is all well? */
	void (*check)(void *context);
	/* As in wait/wait.h. */
	struct pollfd *fds;
	unsigned int num_eventfds;
	unsigned int num_fds;
};

struct poller {
	pthread_mutex_t lock;
	bool is_taken;                     /* some waiter is the poller */
	unsigned int num_waiting;          /* atomic: in poller_wait() */
	TAILQ_HEAD(, waiter) sleepers;     /* those that are not */
	/* The poller's own. */
	struct poller_source source;
	struct wait wait;
	const struct waiter *turn;         /* whose turn it is */
	unsigned int found;                /* in this wait_until() */
	uint64_t found_in_all;             /* atomic: by whoever looked */
	int luck;                          /* atomic: of those who look on */
	uint64_t checked_ns;               /* atomic: by poller_check() */
};

void poller_open(struct poller *poller, enum wait_kind kind,
		 unsigned int sleepy_poll_us, const struct poller_source *source);
/* Nobody may wait any more. */
void poller_close(struct poller *poller);

/* Returns true once poller_wake(waiter) was called, or false at deadline_ns
 * (CLOCK_MONOTONIC; UINT64_MAX: none). May be called again after false. */
bool poller_wait(struct poller *poller, struct waiter *waiter, uint64_t deadline_ns);
/* Looks once, whoever's turn it is; how much it found. Any thread. */
unsigned int poller_look(struct poller *poller);
/* For who looks without waiting: calls check() if it is time for it, and is true
 * then. Any thread. */
bool poller_check(struct poller *poller);
/* What waiter waits for is there. The waiter may be gone when this returns.
 * Any thread. */
void poller_wake(struct poller *poller, struct waiter *waiter);
bool poller_is_awake(const struct waiter *waiter);

#endif
