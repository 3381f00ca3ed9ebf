/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ways of waiting for completions: event, busy, sleepy, adaptive.
 *
 * Knows callbacks and file descriptors, no device and no ring. One thread at a
 * time owns a wait. The first sleep changes the timer slack of that thread, for
 * precision's sake; wait_leave() undoes it, at the end or before another thread
 * goes on with the wait.
 */
#ifndef WAIT_H
#define WAIT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "wait/adaptive.h"
#include "base/clock.h"
#include "base/counters.h"

/* How long one wait_until() should last: then who waits sees what there is
 * beside completions, as hang-ups and deadlines. */
#define WAIT_CHECK_INTERVAL_NS (10 * NS_PER_MS)

enum wait_kind {
	WAIT_EVENT,  /* asks for a call and blocks on the eventfd */
	WAIT_BUSY,   /* looks all the time */
	WAIT_SLEEPY, /* looks, sleeps a little, looks */
	WAIT_ADAPTIVE, /* does what serves best here and now: wait/adaptive.h */
	WAIT_KINDS,  /* their number */
};

/* What is waited for. context is handed to each callback. */
struct wait_source {
	void *context;
	/* Looks once; how many completions there are by now, all told. */
	unsigned int (*look)(void *context);
	/* Asks for calls; true if there is something already. */
	bool (*ask_calls)(void *context);
	void (*refuse_calls)(void *context);
	/* Eventfds first, then what ends a wait when it hangs up. */
	struct pollfd *fds;
	unsigned int num_eventfds;
	unsigned int num_fds;
	/* Requests completed so far, all told (other threads may count, too), and
	 * how many are on their way. */
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
	unsigned int untimed_waits; /* WAIT_ADAPTIVE: short ones */
};

void wait_open(struct wait *wait, enum wait_kind kind, unsigned int sleepy_poll_us,
	       const struct wait_source *source);
/* WAIT_ADAPTIVE, right after wait_open(): the percentage of a core that waiting
 * may burn; else 100. */
void wait_limit_cpu(struct wait *wait, unsigned int percent);
/* Restores the thread's timer slack. */
void wait_leave(struct wait *wait);

/* Looks until there are min completions or deadline_ns (CLOCK_MONOTONIC) has
 * passed; at least once. Returns what the last look said. May return early
 * when a watched descriptor hangs up or a signal arrives. */
unsigned int wait_until(struct wait *wait, unsigned int min, uint64_t deadline_ns);

/* "event", "busy", "sleepy", "adaptive". */
const char *wait_name(enum wait_kind kind);

#endif
