/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which writes have a claim in the range lock of their device. While no step changes a
 * part of a block, no claim is exclusive, so whole transfers (see library/transfer.h) are
 * sent without one. The first step that needs an exclusive claim makes claims for those
 * in flight, and later ones have claims from the beginning.
 *
 * Any thread may call.
 */
#ifndef CLAIMS_H
#define CLAIMS_H

#include <pthread.h>

#include "library/range_lock.h"

struct shared_queue;
struct transfer;
struct transfer_list;

struct claims {
	struct range_lock ranges;
	pthread_mutex_t lock;     /* guards the step from 0 to 1 exclusive claims */
	unsigned int num_alone;   /* atomic: exclusive claims that exist or are expected */
};

void claims_init(struct claims *claims);
void claims_close(struct claims *claims);

/* False if a whole transfer needs no claim. The lock of its queue is held. */
static inline bool claims_are_needed(const struct claims *claims)
{
	return __atomic_load_n(&claims->num_alone, __ATOMIC_RELAXED);
}

/* The planned step of t will take an exclusive claim. No lock is held. */
void claims_expect(struct transfer *t);
/* It does not take the claim after all. */
void claims_forget(struct transfer *t);
/* The queue's lock is held. Returns false if t waits for its claim. */
bool claims_take(struct transfer *t);
/* Ends the claim of t. The transfers that waited for it are appended to work. */
void claims_give(struct transfer *t, struct transfer_list *work);
/* The same for a claim for which t waits. Returns false if it does not wait. */
bool claims_withdraw(struct transfer *t, struct transfer_list *work);

#endif
