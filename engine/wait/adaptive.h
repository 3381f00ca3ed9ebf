/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wait=adaptive: decides what a thread does next while nothing has completed.
 *
 * A contest (wait/contest.h) finds the way of waiting that completes most requests
 * in the present conditions. The ways are polling, yielding the CPU between two
 * looks, sleeps of several lengths, and blocking on the eventfd. Two limits hold for
 * all ways: a wait that has polled for many times the cost of a wake-up (its
 * patience) blocks, and adaptive_cpu limits the CPU time that waiting uses.
 *
 * This is a pure state machine: it reads no clock, makes no system call and knows
 * no ring. wait/adaptive_wait.c carries the steps out and reports how they went.
 * One thread owns it.
 */
#ifndef ADAPTIVE_H
#define ADAPTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "wait/contest.h"

/* No sleep is longer. So no completion waits longer than this plus the time that
 * the system oversleeps. */
enum adaptive_limit { ADAPTIVE_LONGEST_SLEEP_NS = 200000 };

enum adaptive_action {
	ADAPTIVE_SPIN,  /* poll without a pause */
	ADAPTIVE_YIELD, /* yield the CPU, then look; repeat */
	ADAPTIVE_SLEEP,
	ADAPTIVE_BLOCK, /* ask for a call and wait for it */
};

/* A step takes length_ns at most. After it, call adaptive_learn() and ask again. */
struct adaptive_step {
	int action; /* enum adaptive_action */
	uint64_t length_ns;
};

/* How a step went. */
struct adaptive_outcome {
	uint64_t now_ns;
	uint64_t cpu_ns;  /* CPU time it took; only with adaptive_cpu below 100 */
	bool is_over;     /* enough requests have completed */
};

/* The mean of some durations, and their mean distance from it. 0: none was
 * measured. */
struct adaptive_estimate {
	uint64_t mean_ns;
	uint64_t spread_ns;
};

struct adaptive {
	struct contest contest;
	unsigned int cpu_percent;

	uint64_t begun_ns;      /* when the present wait began */
	uint64_t begun_done;
	uint64_t now_ns;
	struct adaptive_step step; /* the last step of this wait */
	bool has_rested;        /* the wait began with a sleep for adaptive_cpu */

	/* The duration of waits that saw the completion arrive. */
	struct adaptive_estimate arrival;
	/* The duration of waits that blocked from the beginning. */
	struct adaptive_estimate blocked;
	struct adaptive_estimate oversleep;
	/* The duration of each step that blocked. */
	struct adaptive_estimate block_step;

	int64_t balance_ns;     /* CPU time that waiting may still use; below 0
	                         * it has used too much */
	uint64_t balanced_ns;   /* when balance_ns was last updated */

	uint64_t rests;         /* counters: sleeps for adaptive_cpu */
	uint64_t late_blocks;   /* blocks after the patience was over */
};

/* cpu_percent: the percentage of a core that waiting may use. */
void adaptive_open(struct adaptive *adaptive, unsigned int cpu_percent);

/* A wait begins; or the last one continues, if nothing has completed since. done is
 * the number of requests that have completed in total. */
void adaptive_begin(struct adaptive *adaptive, uint64_t now_ns, uint64_t done,
		    unsigned int in_flight);
struct adaptive_step adaptive_next(struct adaptive *adaptive);
void adaptive_learn(struct adaptive *adaptive,
		    const struct adaptive_outcome *outcome);

/* The patience: how long a wait may poll before it blocks on the eventfd. */
uint64_t adaptive_patience_ns(const struct adaptive *adaptive);
/* How much later a thread that blocked sees a completion than one that polled. */
uint64_t adaptive_wake_ns(const struct adaptive *adaptive);

/* The ways in the contest: "spin", "yield", "block", "sleep 20 us". */
const char *adaptive_way_name(unsigned int way);

#endif
