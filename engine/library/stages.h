/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves transfers from stage to stage: plan a step, claim its blocks, get a
 * descriptor chain, fill it and send it; after it came back, copy the data that was
 * read, then plan the next step or finish. A transfer that cannot continue waits in
 * the backlog for a chain, or in the range lock for its blocks, and the thread that
 * makes room for it continues it.
 *
 * Any thread may call, but only with a transfer that it holds (see
 * library/shared_queue.h). This file looks at no ring, and waits for nothing.
 */
#ifndef STAGES_H
#define STAGES_H

#include "library/shared_queue.h"

/* Continues all transfers in work, and those that can continue because of this. They
 * may belong to different queues. No lock may be held. */
void carry_work(struct transfer_list *work);
/* The same, after those in done, of which nothing else is left to do. */
void carry_reaped(struct transfer_list *work, struct finished_list *done);
/* Begins t, for which the calling thread waits next with poller_wait(). */
void carry_own(struct transfer *t);
/* Kicks; if that fails, the queue is abandoned. */
void carry_kick(struct shared_queue *sq);

/* The functions below are called with the lock of the queue held. */

/* Ends t early with an error: its next stage becomes the last, and it is appended to
 * work. t must not be in any list. */
void carry_fail(struct transfer *t, int code, const char *sentence,
		struct transfer_list *work);
/* Notes why req, a part of t that came back, failed. */
void carry_note_error(struct transfer *t, const struct request *req);
/* Begins t, which was prepared for sq: sends it, or appends it to work. */
void carry_start(struct shared_queue *sq, struct transfer *t, struct transfer_list *work);
/* Releases the lock, then kicks for what was sent with it held. */
void carry_unlock(struct shared_queue *sq);
/* Gives free chains to transfers that wait for one, and appends these to work. */
void carry_pump_backlog(struct shared_queue *sq, struct transfer_list *work);
void carry_put_chain(struct transfer *t);
/* Called after calls that submit or reap: stores how many requests are in flight, for
 * the thread that waits. */
void carry_note_in_flight(struct shared_queue *sq);
/* Called after calls that may abandon the queue: if they did, copies the reason and
 * tells the poller, which then reaps all requests in flight at its next look. */
void carry_note_abandoned(struct shared_queue *sq);
/* May also be called without the lock. */
bool carry_is_abandoned(const struct shared_queue *sq);

#endif
