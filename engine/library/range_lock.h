/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims on ranges of a disk that are being written. A write that changes a part
 * of a block (read, change, write back) needs an exclusive claim on its blocks.
 * Writes of whole blocks can share blocks with each other, but not with an exclusive
 * claim.
 *
 * Conflicting claims are granted in the order in which they were made. No call waits
 * for a claim: if a claim is not granted at once, the call that makes room for it
 * returns it later. Any thread may call. The disk is divided into stretches. Most claims
 * lie within one of them, so writers that are far apart use different mutexes. A wide
 * claim, of a long discard, is not exclusive, and takes all mutexes for a moment.
 */
#ifndef RANGE_LOCK_H
#define RANGE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define RANGE_LOCK_STRETCH_BYTES (4ull << 20)
/* Few enough for the thread sanitizer, in which a thread can hold 64 mutexes. */
#define RANGE_LOCK_SHARDS 32

/* The caller owns it, and it must exist from take to give or withdraw. All zeros
 * before. */
struct claim {
	uint64_t first_byte;
	uint64_t end_byte;   /* the byte after the last */
	bool is_alone;       /* exclusive; then it lies within one stretch */
	bool is_waiting;     /* guarded by the shard's lock */
	uint64_t turn;       /* the order in which claims were made */
	void *owner;         /* for the caller; not used here */
	TAILQ_ENTRY(claim) link;    /* in its shard, or among the wide ones */
	TAILQ_ENTRY(claim) granted; /* in a list of claims that a call granted */
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
	/* Changed with all locks held, so each of the locks is enough to read them. */
	struct claim_list wide_held;
	struct claim_list wide_waiting;
	uint64_t next_turn; /* atomic */
};

void range_lock_init(struct range_lock *ranges);
void range_lock_close(struct range_lock *ranges);

/* Returns true if the claim is granted at once, else false: then it waits. */
bool range_lock_take(struct range_lock *ranges, struct claim *claim);
/* Ends a granted claim. The claims that are granted by this are appended to granted. */
void range_lock_give(struct range_lock *ranges, struct claim *claim,
		     struct claim_list *granted);
/* Ends a claim that waits, in the same way. Returns false, and changes nothing, if it
 * does not wait: it was granted, or never taken. */
bool range_lock_withdraw(struct range_lock *ranges, struct claim *claim,
			 struct claim_list *granted);

#endif
