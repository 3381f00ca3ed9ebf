/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The claims of transfers; see library/claims.h. */
#include "library/claims.h"

#include "library/shared_queue.h"

void claims_init(struct claims *claims)
{
	range_lock_init(&claims->ranges);
	pthread_mutex_init(&claims->lock, NULL);
	claims->num_alone = 0;
}

void claims_close(struct claims *claims)
{
	range_lock_close(&claims->ranges);
	pthread_mutex_destroy(&claims->lock);
}

/* ---- exclusive claims -------------------------------------------------------------- */

/* The lock of its queue is held. No exclusive claim exists yet, so it is granted. */
static void claim_in_flight(struct transfer *t)
{
	if (!t->is_whole || t->type == REQUEST_READ)
		return;
	transfer_spread(t);
	transfer_fill_claim(t);
	claims_take(t);
}

static void claim_all_in_flight(struct shared_queue *sq)
{
	uint16_t count = sq->queue->vq.shape.num_chains;

	pthread_mutex_lock(&sq->lock);
	for (uint16_t chain = 0; chain < count; chain++) {
		struct transfer *t = queue_user_in_flight(sq->queue, chain);

		if (t)
			claim_in_flight(t);
	}
	pthread_mutex_unlock(&sq->lock);
}

/* A thread that sends a whole transfer looks at num_alone with the lock of its queue held.
 * Either it has sent before this thread has the lock, so the transfer is found in flight,
 * or it sees the new number afterwards. Other exclusive claims wait here meanwhile. */
void claims_expect(struct transfer *t)
{
	struct shared_queue *sq = t->sq;
	struct claims *claims = sq->claims;

	pthread_mutex_lock(&claims->lock);
	if (!__atomic_fetch_add(&claims->num_alone, 1, __ATOMIC_RELAXED))
		for (unsigned int i = 0; i < sq->num_siblings; i++)
			claim_all_in_flight(&sq->siblings[i]);
	pthread_mutex_unlock(&claims->lock);
}

void claims_forget(struct transfer *t)
{
	__atomic_fetch_sub(&t->sq->claims->num_alone, 1, __ATOMIC_RELAXED);
}

/* ---- all claims ---------------------------------------------------------------------- */

bool claims_take(struct transfer *t)
{
	t->has_claim = true;
	return range_lock_take(&t->sq->claims->ranges, &t->claim);
}

/* The claim has ended. */
static void end(struct transfer *t, const struct claim_list *granted,
		struct transfer_list *work)
{
	struct claim *claim;

	t->has_claim = false;
	if (t->claim.is_alone)
		claims_forget(t);
	TAILQ_FOREACH(claim, granted, granted)
		TAILQ_INSERT_TAIL(work, (struct transfer *)claim->owner, link);
}

void claims_give(struct transfer *t, struct transfer_list *work)
{
	struct claim_list granted = TAILQ_HEAD_INITIALIZER(granted);

	range_lock_give(&t->sq->claims->ranges, &t->claim, &granted);
	end(t, &granted, work);
}

bool claims_withdraw(struct transfer *t, struct transfer_list *work)
{
	struct claim_list granted = TAILQ_HEAD_INITIALIZER(granted);

	if (!range_lock_withdraw(&t->sq->claims->ranges, &t->claim, &granted))
		return false;
	end(t, &granted, work);
	return true;
}
