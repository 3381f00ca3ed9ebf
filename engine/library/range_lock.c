/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Claims on ranges of bytes; see library/range_lock.h. */
#include "library/range_lock.h"

#include <assert.h>

void range_lock_init(struct range_lock *ranges)
{
	for (unsigned int i = 0; i < RANGE_LOCK_SHARDS; i++) {
		struct range_lock_shard *shard = &ranges->shards[i];

		pthread_mutex_init(&shard->lock, NULL);
		TAILQ_INIT(&shard->held);
		TAILQ_INIT(&shard->waiting);
		shard->num_alone = 0;
	}
	TAILQ_INIT(&ranges->wide_held);
	TAILQ_INIT(&ranges->wide_waiting);
	ranges->next_turn = 1;
}

void range_lock_close(struct range_lock *ranges)
{
	for (unsigned int i = 0; i < RANGE_LOCK_SHARDS; i++)
		pthread_mutex_destroy(&ranges->shards[i].lock);
}

static struct range_lock_shard *shard_of(struct range_lock *ranges,
					 const struct claim *claim)
{
	return &ranges->shards[claim->first_byte / RANGE_LOCK_STRETCH_BYTES %
			       RANGE_LOCK_SHARDS];
}

static bool is_wide(const struct claim *claim)
{
	return claim->first_byte / RANGE_LOCK_STRETCH_BYTES !=
	       (claim->end_byte - 1) / RANGE_LOCK_STRETCH_BYTES;
}

static void lock_all(struct range_lock *ranges)
{
	for (unsigned int i = 0; i < RANGE_LOCK_SHARDS; i++)
		pthread_mutex_lock(&ranges->shards[i].lock);
}

static void unlock_all(struct range_lock *ranges)
{
	for (unsigned int i = 0; i < RANGE_LOCK_SHARDS; i++)
		pthread_mutex_unlock(&ranges->shards[i].lock);
}

/* ---- conflicts -------------------------------------------------------------------- */

static bool conflict(const struct claim *a, const struct claim *b)
{
	return (a->is_alone || b->is_alone) && a->first_byte < b->end_byte &&
	       b->first_byte < a->end_byte;
}

/* True if claim conflicts with a claim in list that was made before it. */
static bool is_blocked(const struct claim_list *list, const struct claim *claim)
{
	const struct claim *other;

	TAILQ_FOREACH(other, list, link)
		if (other->turn < claim->turn && conflict(other, claim))
			return true;
	return false;
}

/* Two claims conflict only if one of them is exclusive, and a wide one is not. So most
 * claims need not look at any list. */
static bool is_blocked_in(const struct range_lock_shard *shard, const struct claim *claim)
{
	return shard->num_alone && (is_blocked(&shard->held, claim) ||
				    is_blocked(&shard->waiting, claim));
}

static bool must_wait(struct range_lock *ranges, const struct claim *claim)
{
	return is_blocked_in(shard_of(ranges, claim), claim) ||
	       (claim->is_alone && (is_blocked(&ranges->wide_held, claim) ||
				    is_blocked(&ranges->wide_waiting, claim)));
}

static bool wide_must_wait(const struct range_lock *ranges, const struct claim *claim)
{
	for (unsigned int i = 0; i < RANGE_LOCK_SHARDS; i++)
		if (is_blocked_in(&ranges->shards[i], claim))
			return true;
	return false;
}

/* ---- taking ------------------------------------------------------------------------- */

static void insert(struct claim *claim, struct claim_list *held,
		   struct claim_list *waiting)
{
	TAILQ_INSERT_TAIL(claim->is_waiting ? waiting : held, claim, link);
}

static void take_turn(struct range_lock *ranges, struct claim *claim)
{
	claim->turn = __atomic_fetch_add(&ranges->next_turn, 1, __ATOMIC_RELAXED);
}

static bool take_wide(struct range_lock *ranges, struct claim *claim)
{
	bool is_waiting;

	assert(!claim->is_alone);
	lock_all(ranges);
	take_turn(ranges, claim);
	is_waiting = claim->is_waiting = wide_must_wait(ranges, claim);
	insert(claim, &ranges->wide_held, &ranges->wide_waiting);
	unlock_all(ranges);
	return !is_waiting;
}

bool range_lock_take(struct range_lock *ranges, struct claim *claim)
{
	struct range_lock_shard *shard = shard_of(ranges, claim);
	bool is_waiting;

	if (is_wide(claim))
		return take_wide(ranges, claim);
	pthread_mutex_lock(&shard->lock);
	shard->num_alone += claim->is_alone;
	/* A claim that is granted at once as others are comes before all exclusive ones. */
	if (shard->num_alone)
		take_turn(ranges, claim);
	else
		claim->turn = 0;
	is_waiting = claim->is_waiting = must_wait(ranges, claim);
	insert(claim, &shard->held, &shard->waiting);
	pthread_mutex_unlock(&shard->lock);
	return !is_waiting;
}

/* ---- giving --------------------------------------------------------------------------- */

static void grant(struct claim *claim, struct claim_list *waiting,
		  struct claim_list *held, struct claim_list *granted)
{
	TAILQ_REMOVE(waiting, claim, link);
	TAILQ_INSERT_TAIL(held, claim, link);
	TAILQ_INSERT_TAIL(granted, claim, granted);
	claim->is_waiting = false;
}

/* A claim also waits for claims that were made before it and still wait, so that a
 * stream of later claims cannot hold it up for ever. */
static void grant_in(struct range_lock *ranges, struct range_lock_shard *shard,
		     struct claim_list *granted)
{
	struct claim *claim = TAILQ_FIRST(&shard->waiting), *next;

	for (; claim; claim = next) {
		next = TAILQ_NEXT(claim, link);
		if (!must_wait(ranges, claim))
			grant(claim, &shard->waiting, &shard->held, granted);
	}
}

static void grant_all(struct range_lock *ranges, struct claim_list *granted)
{
	struct claim *claim = TAILQ_FIRST(&ranges->wide_waiting), *next;

	for (unsigned int i = 0; i < RANGE_LOCK_SHARDS; i++)
		grant_in(ranges, &ranges->shards[i], granted);
	for (; claim; claim = next) {
		next = TAILQ_NEXT(claim, link);
		if (!wide_must_wait(ranges, claim))
			grant(claim, &ranges->wide_waiting, &ranges->wide_held, granted);
	}
}

/* The lock of its shard is held, or all locks if it is wide. */
static void take_out(struct range_lock *ranges, struct claim *claim)
{
	struct range_lock_shard *shard = shard_of(ranges, claim);

	if (is_wide(claim)) {
		TAILQ_REMOVE(claim->is_waiting ? &ranges->wide_waiting :
						 &ranges->wide_held, claim, link);
		return;
	}
	shard->num_alone -= claim->is_alone;
	TAILQ_REMOVE(claim->is_waiting ? &shard->waiting : &shard->held, claim, link);
}

/* Ends claim, unless only_waiting is true and it does not wait. */
static bool end_among_all(struct range_lock *ranges, struct claim *claim,
			  bool only_waiting, struct claim_list *granted)
{
	bool ends;

	lock_all(ranges);
	ends = claim->is_waiting || !only_waiting;
	if (ends) {
		take_out(ranges, claim);
		grant_all(ranges, granted);
	}
	unlock_all(ranges);
	return ends;
}

/* False if this needs all locks, because a wide claim may wait for claim. */
static bool end_in_shard(struct range_lock *ranges, struct claim *claim,
			 bool only_waiting, struct claim_list *granted, bool *ends)
{
	struct range_lock_shard *shard = shard_of(ranges, claim);
	bool is_possible;

	pthread_mutex_lock(&shard->lock);
	is_possible = !claim->is_alone || TAILQ_EMPTY(&ranges->wide_waiting);
	*ends = is_possible && (claim->is_waiting || !only_waiting);
	if (*ends) {
		take_out(ranges, claim);
		grant_in(ranges, shard, granted);
	}
	pthread_mutex_unlock(&shard->lock);
	return is_possible;
}

static bool end(struct range_lock *ranges, struct claim *claim, bool only_waiting,
		struct claim_list *granted)
{
	bool ends;

	if (!is_wide(claim) && end_in_shard(ranges, claim, only_waiting, granted, &ends))
		return ends;
	return end_among_all(ranges, claim, only_waiting, granted);
}

void range_lock_give(struct range_lock *ranges, struct claim *claim,
		     struct claim_list *granted)
{
	end(ranges, claim, false, granted);
}

bool range_lock_withdraw(struct range_lock *ranges, struct claim *claim,
			 struct claim_list *granted)
{
	bool ends = end(ranges, claim, true, granted);

	if (ends)
		claim->is_waiting = false;
	return ends;
}
