/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ways of waiting for completions: event, busy, sleepy, adaptive (enum wait_kind of
 * api.h).
 *
 * A wait knows callbacks and file descriptors, but no device and no ring. One thread
 * at a time owns it. The first sleep changes the timer slack of that thread, so that
 * sleeps are precise; wait_leave() restores it, at the end or before another thread
 * takes the wait over.
 */
#ifndef WAIT_H
#define WAIT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "api.h"
#include "wait/adaptive.h"
#include "base/clock.h"
#include "base/counters.h"

/* How long one wait_until() should last. Between two of them the caller checks for
 * hang-ups and deadlines. */
#define WAIT_CHECK_INTERVAL_NS (10 * NS_PER_MS)

/* What a thread waits for. context is passed to each callback. */
struct wait_source {
	void *context;
	/* Looks once, and returns how many completions there are by now. */
	unsigned int (*look)(void *context);
	/* Asks for calls; true if something has completed already. */
	bool (*ask_calls)(void *context);
	void (*refuse_calls)(void *context);
	/* The eventfds, then descriptors whose hang-up ends a wait. */
	struct pollfd *fds;
	unsigned int num_eventfds;
	unsigned int num_fds;
	/* The number of requests completed in total (other threads may add to it,
	 * too), and how many are in flight. */
	const uint64_t *completed;
	unsigned int (*in_flight)(void *context);
};

struct wait {
	enum wait_kind kind;
	uint32_t sleep_ns;
	struct wait_source source;
	int old_timer_slack_ns; /* of the thread; -1: not changed */
	struct wait_counters counters;
	struct adaptive adaptive;
	unsigned int untimed_waits; /* WAIT_ADAPTIVE: short waits not timed */
};

void wait_open(struct wait *wait, enum wait_kind kind, unsigned int sleepy_poll_us,
	       const struct wait_source *source);
/* WAIT_ADAPTIVE, right after wait_open(): the percentage of a core that waiting
 * may use. Without this call it is 100. */
void wait_limit_cpu(struct wait *wait, unsigned int percent);
/* Restores the thread's timer slack. */
void wait_leave(struct wait *wait);

/* Waits until there are min completions or deadline_ns (CLOCK_MONOTONIC) has passed,
 * and looks at least once. Returns the number that the last look found. May return
 * early when a watched descriptor hangs up or a signal arrives. */
unsigned int wait_until(struct wait *wait, unsigned int min, uint64_t deadline_ns);

/* Fills in what is 0, which is what a user left out. A sleepy_poll_us alone means
 * WAIT_SLEEPY. */
void wait_choose(enum wait_kind *kind, unsigned int *sleepy_poll_us);

#endif
