/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carrying transfers from stage to stage: plan a step, claim its blocks, get a
 * chain, fill it, send it; once it came back, copy what it brought, and go on
 * or finish. What cannot go on now waits in the backlog for a chain, or in the
 * range lock for its blocks, and whoever makes room carries it further.
 *
 * Any thread calls, about a transfer that is with no other (see
 * library/shared_queue.h). Looks at no ring, and waits for nothing.
 */
#ifndef CARRY_H
#define CARRY_H

#include "library/shared_queue.h"

/* Carries all of work on, and what this sets free; they may be of different
 * queues. No lock may be held. */
void carry_work(struct transfer_list *work);

/* The rest is called with the lock of the queue held. */

/* Makes the next stage of t, which is in no list, its last. */
void carry_fail(struct transfer *t, int code, const char *sentence,
		struct transfer_list *work);
/* Gives chains that are free to those that wait for one. */
void carry_pump_backlog(struct shared_queue *sq, struct transfer_list *work);
void carry_put_chain(struct transfer *t);
/* After calls that submit or reap: how many are in flight, for who waits. */
void carry_note_in_flight(struct shared_queue *sq);
/* After calls that may abandon the queue: keeps the reason, and marks it for the
 * poller, which reaps what is in flight at its next look. */
void carry_note_abandoned(struct shared_queue *sq);
/* Also without the lock. */
bool carry_is_abandoned(const struct shared_queue *sq);

#endif
