/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A contest finds which of several ways of doing the same work has the highest
 * rate, by using each of them for some milliseconds.
 *
 * Most of the time, the best way so far is in use. Now and then another way has
 * a trial between two stretches of the best way, and its rate is compared with
 * theirs, so that a change which affects all ways has no influence. A way that
 * was much slower is tried again rarely, and a way that was almost as fast often,
 * so that all trials together cost about one percent of the time. When the rate
 * of the best way itself changes, the contest is unsettled: it discards what it
 * knew and tries each way at once.
 *
 * The contest is a pure state machine: it gets the time and the progress as
 * arguments and calls nothing. One thread owns a contest.
 */
#ifndef CONTEST_H
#define CONTEST_H

#include <stdbool.h>
#include <stdint.h>

#define CONTEST_MAX_WAYS 12

struct contest_way {
	uint64_t shortest_ns; /* no request takes less time; 0: not known */
	double score;         /* its rate divided by the best way's rate */
	double spread;        /* mean distance of its trials from the score */
	unsigned int trials;  /* number, since the contest was last unsettled */
	uint64_t due_ns;      /* when it may be tried again */
	uint64_t used_ns;     /* total time in use */
};

/* A period in which one way is used without a change. */
struct contest_stretch {
	bool is_settling;     /* requests of the previous way still complete */
	uint64_t start_ns;
	uint64_t start_done;
};

struct contest {
	struct contest_way ways[CONTEST_MAX_WAYS];
	unsigned int num_ways;
	unsigned int best;      /* the best way so far */
	unsigned int current;   /* the way in use: best, or the one on trial */
	struct contest_stretch stretch;

	unsigned int judged;    /* the way whose trial ended last; best: none */
	double rate_tried;      /* its rate in that trial, per ns */
	uint64_t tried_ns;      /* how long that trial took */
	double rate_before;     /* the best way's rate before the trial; 0: unknown */

	double rate_usual;      /* the best way's mean rate; 0: unknown */
	double rate_unusual;    /* the last rate that differed from it */
	unsigned int unusual;   /* how many rates in a row were like that one */
	uint64_t unusual_ns;    /* when the first of them was seen */
	uint64_t unsettled_ns;  /* when the contest was last unsettled */

	uint64_t now_ns;
	unsigned int in_flight;
	uint64_t trials;        /* counters since contest_open() */
	uint64_t changes;       /* of the best way */
	uint64_t unsettlings;
};

/* Way 0 is the best way to begin with. */
void contest_open(struct contest *contest, unsigned int num_ways);

/* Tells the contest how many requests have completed in total (done), and how many
 * more are in flight. Called whenever the caller is about to wait, so that all
 * stretches begin and end at the same point of the caller's work. */
void contest_note(struct contest *contest, uint64_t now_ns, uint64_t done,
		  unsigned int in_flight);

#endif
