/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wait=adaptive: what to do next while nothing has completed.
 *
 * Which way of waiting gets most done here and now is the outcome of a
 * contest (wait/contest.h) between looking, yielding the CPU between looks, sleeps
 * of several lengths, and the eventfd. Around it: nobody looks for longer than
 * waking up costs many times over, and adaptive_cpu limits what may be burnt.
 *
 * A pure state machine: no clock, no system call, no ring; wait/adaptive_wait.c
 * carries the steps out and tells how they went. One thread owns it.
 */
#ifndef ADAPTIVE_H
#define ADAPTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "wait/contest.h"

/* No sleep is longer, so no completion is left waiting longer than this, and
 * what the system oversleeps. */
enum adaptive_limit { ADAPTIVE_LONGEST_SLEEP_NS = 200000 };

enum adaptive_action {
	ADAPTIVE_SPIN,  /* look all the time */
	ADAPTIVE_YIELD, /* give the CPU to who wants it, and look */
	ADAPTIVE_SLEEP,
	ADAPTIVE_BLOCK, /* ask for a call and wait for it */
};

/* For length_ns at most; then learn, and ask again. */
struct adaptive_step {
	int action; /* enum adaptive_action */
	uint64_t length_ns;
};

/* What became of a step. */
struct adaptive_outcome {
	uint64_t now_ns;
	uint64_t cpu_ns;  /* CPU time it took; only with adaptive_cpu below 100 */
	bool is_over;     /* what was waited for is there */
};

/* Of durations: mean, and mean distance from it. 0: none was seen. */
struct adaptive_estimate {
	uint64_t mean_ns;
	uint64_t spread_ns;
};

struct adaptive {
	struct contest contest;
	unsigned int cpu_percent;

	uint64_t begun_ns;      /* the present wait */
	uint64_t begun_done;
	uint64_t now_ns;
	struct adaptive_step step; /* the last one taken in it */
	bool has_rested;        /* it began with a sleep for adaptive_cpu */

	/* From the beginning of a wait to its end, seen as it came. */
	struct adaptive_estimate arrival;
	/* The same for waits that blocked from the beginning. */
	struct adaptive_estimate blocked;
	struct adaptive_estimate oversleep;
	/* Of single steps that blocked, whatever came before and after. */
	struct adaptive_estimate block_step;

	int64_t balance_ns;     /* CPU time that may be burnt; negative: debt */
	uint64_t balanced_ns;   /* when it was reckoned */

	uint64_t rests;         /* counters: sleeps for adaptive_cpu */
	uint64_t late_blocks;   /* blocks after much looking */
};

/* cpu_percent: of a core, that waiting may burn. */
void adaptive_open(struct adaptive *adaptive, unsigned int cpu_percent);

/* A wait begins, or goes on if nothing has completed since the last one: done
 * is how many requests have completed, all told. */
void adaptive_begin(struct adaptive *adaptive, uint64_t now_ns, uint64_t done,
		    unsigned int in_flight);
struct adaptive_step adaptive_next(struct adaptive *adaptive);
void adaptive_learn(struct adaptive *adaptive,
		    const struct adaptive_outcome *outcome);

/* How long looking may take before the eventfd is the cheaper way. */
uint64_t adaptive_patience_ns(const struct adaptive *adaptive);
/* What waking up from a block costs beyond seeing a completion as it comes. */
uint64_t adaptive_wake_ns(const struct adaptive *adaptive);

/* The ways in the contest: "spin", "yield", "block", "sleep 20 us". */
const char *adaptive_way_name(unsigned int way);

#endif
