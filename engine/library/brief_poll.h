/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decides how a thread that arrives while others wait for the same queue polls before
 * it sleeps. It polls at all because it takes about as long to fall asleep and to be
 * woken.
 *
 * A thread that has a CPU for itself looks again and again for 20 us. If several
 * threads share a CPU, a thread that looks keeps the others from submitting. But a
 * switch to another thread takes 1 us or more, so it depends on the disk which is
 * better: to look all the same, to yield the CPU before each look, so that the others
 * submit first and one look finds the completions of all, or to sleep at once. A
 * contest (wait/contest.h) finds the way with the highest rate. It also notices another
 * program that uses the CPU: each yield then takes a millisecond or more, because the
 * kernel counts it as if the thread had used up its share (Linux 6.18).
 *
 * Any thread may call. This file knows a callback, but no poller and no queue.
 */
#ifndef BRIEF_POLL_H
#define BRIEF_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include "wait/contest.h"

/* CPUs whose numbers differ by a multiple of this are taken for one. */
#define BRIEF_POLL_CPUS 64

/* What is known of one CPU. All members are atomic. */
struct brief_poll_cpu {
	uintptr_t last_thread;   /* the thread that polled here last */
	int sharing;             /* above 0: several threads poll here */
	int score;               /* of the spins; see brief_poll.c */
	unsigned int waits;      /* while it was shared */
	/* Keeps two CPUs from using one cache line, or a pair that is fetched
	 * together. */
	char padding[104];
};

_Static_assert(sizeof(struct brief_poll_cpu) == 128, "two cache lines");

struct brief_poll {
	struct brief_poll_cpu cpus[BRIEF_POLL_CPUS];
	unsigned int way;        /* atomic: enum brief_poll_way, for shared CPUs */
	bool is_noting;          /* atomic: a thread uses the contest */
	struct contest contest;
};

/* How many requests of the queue have completed in total, and are in flight. */
struct brief_poll_progress {
	uint64_t done;
	unsigned int in_flight;
};

void brief_poll_open(struct brief_poll *brief);
/* look() looks once, and returns true if the wait is over. Returns true then, or false
 * when it is time to sleep. */
bool brief_poll(struct brief_poll *brief, struct brief_poll_progress progress,
		bool (*look)(void *context), void *context);
/* True if the calling thread, on its present CPU, would yield before it looks. */
bool brief_poll_yields(struct brief_poll *brief);
/* For a thread that polls without a limit: lets the threads run that share its CPU,
 * if there are any. */
void brief_poll_give_way(struct brief_poll *brief);

#endif
