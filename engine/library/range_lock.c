/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Claims on ranges of bytes; see library/range_lock.h. */
#include "library/range_lock.h"

void range_lock_init(struct range_lock *ranges)
{
	for (unsigned int i = 0; i < RANGE_LOCK_SHARDS; i++) {
		struct range_lock_shard *shard = &ranges->shards[i];

		pthread_mutex_init(&shard->lock, NULL);
		TAILQ_INIT(&shard->held);
		TAILQ_INIT(&shard->waiting);
		shard->num_alone = 0;
	}
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

static bool conflict(const struct claim *a, const struct claim *b)
{
	return (a->is_alone || b->is_alone) && a->first_byte < b->end_byte &&
	       b->first_byte < a->end_byte;
}

/* True if claim conflicts with a claim in list that comes before limit. */
static bool is_blocked(const struct claim_list *list, const struct claim *limit,
		       const struct claim *claim)
{
	const struct claim *other;

	TAILQ_FOREACH(other, list, link) {
		if (other == limit)
			break;
		if (conflict(other, claim))
			return true;
	}
	return false;
}

bool range_lock_take(struct range_lock *ranges, struct claim *claim)
{
	struct range_lock_shard *shard = shard_of(ranges, claim);
	bool is_waiting;

	pthread_mutex_lock(&shard->lock);
	shard->num_alone += claim->is_alone;
	/* Two claims conflict only if one of them is exclusive. */
	is_waiting = shard->num_alone &&
		     (is_blocked(&shard->held, NULL, claim) ||
		      is_blocked(&shard->waiting, NULL, claim));
	claim->is_waiting = is_waiting;
	TAILQ_INSERT_TAIL(is_waiting ? &shard->waiting : &shard->held, claim, link);
	pthread_mutex_unlock(&shard->lock);
	return !is_waiting;
}

/* A claim also waits for claims that were made before it and still wait, so that a
 * stream of later claims cannot hold it up for ever. */
static void grant(struct range_lock_shard *shard, struct claim_list *granted)
{
	struct claim *claim = TAILQ_FIRST(&shard->waiting), *next;

	for (; claim; claim = next) {
		next = TAILQ_NEXT(claim, link);
		if (is_blocked(&shard->held, NULL, claim) ||
		    is_blocked(&shard->waiting, claim, claim))
			continue;
		TAILQ_REMOVE(&shard->waiting, claim, link);
		TAILQ_INSERT_TAIL(&shard->held, claim, link);
		TAILQ_INSERT_TAIL(granted, claim, granted);
		claim->is_waiting = false;
	}
}

void range_lock_give(struct range_lock *ranges, struct claim *claim,
		     struct claim_list *granted)
{
	struct range_lock_shard *shard = shard_of(ranges, claim);

	pthread_mutex_lock(&shard->lock);
	shard->num_alone -= claim->is_alone;
	TAILQ_REMOVE(&shard->held, claim, link);
	grant(shard, granted);
	pthread_mutex_unlock(&shard->lock);
}

bool range_lock_withdraw(struct range_lock *ranges, struct claim *claim,
			 struct claim_list *granted)
{
	struct range_lock_shard *shard = shard_of(ranges, claim);
	bool is_waiting;

	pthread_mutex_lock(&shard->lock);
	is_waiting = claim->is_waiting;
	if (is_waiting) {
		claim->is_waiting = false;
		shard->num_alone -= claim->is_alone;
		TAILQ_REMOVE(&shard->waiting, claim, link);
		grant(shard, granted);
	}
	pthread_mutex_unlock(&shard->lock);
	return is_waiting;
}
