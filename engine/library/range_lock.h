/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which bytes of a disk are being written, and by whom: what changes a part of
 * a block (read, change, write back) claims its blocks alone; what writes
 * whole blocks shares them with its like, but not with the former.
 *
 * Claims are granted in the order of asking. Nobody blocks here: who does not
 * get a claim at once is named by the call that makes room for it. Any thread.
 * The disk is cut into stretches, and a claim lies within one, so that
 * writers far apart take different mutexes, and those for an instant only.
 */
#ifndef RANGE_LOCK_H
#define RANGE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define RANGE_LOCK_STRETCH_BYTES (4ull << 20)
#define RANGE_LOCK_SHARDS 64

/* The caller's, from take to give or withdraw; all zeros before. */
struct claim {
	uint64_t first_byte;
	uint64_t end_byte;   /* the first behind it; of the same stretch */
	bool is_alone;
	bool is_waiting;     /* guarded by the shard's lock */
	void *owner;         /* the caller's */
	TAILQ_ENTRY(claim) link;    /* in its shard */
	TAILQ_ENTRY(claim) granted; /* in a list of those just granted */
};

TAILQ_HEAD(claim_list, claim);

struct range_lock_shard {
	pthread_mutex_t lock;
	struct claim_list held;
	struct claim_list waiting;
	unsigned int num_alone; /* in both lists */
};

struct range_lock {
	struct range_lock_shard shards[RANGE_LOCK_SHARDS];
};

void range_lock_init(struct range_lock *ranges);
void range_lock_close(struct range_lock *ranges);

/* True if the claim is granted; else it waits. */
bool range_lock_take(struct range_lock *ranges, struct claim *claim);
/* Ends a granted claim; those that this grants are appended to granted. */
void range_lock_give(struct range_lock *ranges, struct claim *claim,
		     struct claim_list *granted);
/* Ends a claim that waits, in the same way. False if it is granted by now, or
 * was never taken. */
bool range_lock_withdraw(struct range_lock *ranges, struct claim *claim,
			 struct claim_list *granted);

#endif
