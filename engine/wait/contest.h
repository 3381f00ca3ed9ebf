/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of several ways of doing the same work gets most of it done in a
 * second: found by using each in turn for some milliseconds.
 *
 * The way in use is the champion. Now and then another has a trial between two
 * stretches of the champion and is scored against them, so that what changes
 * for all of them does not count. A way that lost much is tried again rarely,
 * one that lost little often: all trials together cost about one percent of
 * the time. When the champion's own rate changes, what was known is void, and
 * each way is tried at once.
 *
 * A pure state machine: time and progress are arguments, nothing is called.
 * One thread owns a contest.
 */
#ifndef CONTEST_H
#define CONTEST_H

#include <stdbool.h>
#include <stdint.h>

#define CONTEST_MAX_WAYS 12

struct contest_way {
	uint64_t shortest_ns; /* no request takes less; 0: nothing is known */
	double score;         /* its rate, the champion's being 1 */
	double spread;        /* mean distance of its trials from that */
	unsigned int trials;  /* since the contest was last unsettled */
	uint64_t due_ns;      /* when it may be tried again */
	uint64_t used_ns;     /* time in use, all told */
};

/* A time in which one way is used, and how much was done in it. */
struct contest_stretch {
	bool is_settling;     /* what the way before left behind is done first */
	uint64_t start_ns;
	uint64_t start_done;
};

struct contest {
	struct contest_way ways[CONTEST_MAX_WAYS];
	unsigned int num_ways;
	unsigned int champion;
	unsigned int current;   /* in use: the champion, or what has its trial */
	struct contest_stretch stretch;

	unsigned int judged;    /* the way whose trial ended; champion: none */
	double rate_tried;      /* its rate, per ns */
	uint64_t tried_ns;      /* how long its trial took */
	double rate_before;     /* the champion's, before the trial; 0: unknown */

	double rate_usual;      /* the champion's, over some stretches; 0: unknown */
	double rate_unusual;    /* the last one that was not like it */
	unsigned int unusual;   /* how many in a row were like that one */
	uint64_t unusual_ns;    /* since when */
	uint64_t unsettled_ns;  /* when all was tried anew */

	uint64_t now_ns;
	unsigned int in_flight;
	uint64_t trials;        /* counters, all told */
	uint64_t changes;       /* of the champion */
	uint64_t unsettlings;
};

/* Way 0 is the champion to begin with. */
void contest_open(struct contest *contest, unsigned int num_ways);

/* Progress: done is how many requests have completed, all told, and in_flight
 * how many more are on their way. Called when the caller is about to wait, so
 * that stretches begin and end in like moments. */
void contest_note(struct contest *contest, uint64_t now_ns, uint64_t done,
		  unsigned int in_flight);

#endif
