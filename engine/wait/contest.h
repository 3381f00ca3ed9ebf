/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A contest finds which of several ways of doing the same work has the highest
 * rate, by using each of them for some milliseconds.
 *
 * Most of the time, the best way so far is in use. Now and then another way has
 * a trial between two stretches of the best way, and its rate is compared with
 * theirs, so that a change which affects all ways has no influence. A trial ends
 * as soon as the way cannot catch up any more. What a trial cost is measured, and
 * the way rests until the cost is 1/1000 of the time that has passed since then.
 * So a way that was as fast is tried again soon, and a disastrous one hardly ever.
 * When the rate of the best way itself changes, the contest is unsettled: it
 * discards what it knew and tries each way at once. It may be unsettled again when
 * the cost of these trials is 1/100 of the time.
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
	unsigned int wins;    /* a bit for each trial; bit 0: the last one was better */
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

	struct contest_stretch trial; /* how the last trial began */
	unsigned int judged;    /* the way whose trial ended last; best: none */
	double rate_tried;      /* its rate in that trial, per ns */
	uint64_t cost_ns;       /* the time that the trial cost */
	double rate_before;     /* the best way's rate before the trial; 0: unknown */

	double rate_usual;      /* the best way's mean rate; 0: unknown */
	double rate_unusual;    /* the last rate that differed from it */
	unsigned int unusual;   /* how many rates in a row were like that one */
	uint64_t unusual_ns;    /* when the first of them was seen */
	uint64_t unsettle_due_ns; /* when it may be unsettled again */

	uint64_t now_ns;
	uint64_t done;          /* the number of requests that have completed */
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

/* During a wait: nothing has completed since contest_note(). May end a trial. */
void contest_wait_on(struct contest *contest, uint64_t now_ns);
/* The time after which contest_wait_on() ends the trial if nothing has completed;
 * UINT64_MAX: this is no trial. */
uint64_t contest_left_ns(const struct contest *contest);

/* Begins with this way instead, unless a rate is known already. */
void contest_replace_first(struct contest *contest, unsigned int way);

#endif
