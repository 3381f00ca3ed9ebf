/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transfers that are used again; see library/spares.h. */
#include "library/spares.h"

#include "library/prepare.h"

struct transfer *spares_take(struct shared_queue *sq)
{
	struct transfer *t;

	pthread_mutex_lock(&sq->spares_lock);
	t = TAILQ_FIRST(&sq->spares);
	if (t)
		TAILQ_REMOVE(&sq->spares, t, link);
	pthread_mutex_unlock(&sq->spares_lock);
	return t ? t : prepare_new(sq, sizeof(*t), 0);
}

void spares_keep(struct transfer *t)
{
	struct shared_queue *sq = t->sq;

	if (!transfer_is_reusable(t)) {
		transfer_free(t);
		return;
	}
	pthread_mutex_lock(&sq->spares_lock);
	TAILQ_INSERT_HEAD(&sq->spares, t, link);
	pthread_mutex_unlock(&sq->spares_lock);
}

void spares_free(struct shared_queue *sq)
{
	struct transfer *t;

	while ((t = TAILQ_FIRST(&sq->spares))) {
		TAILQ_REMOVE(&sq->spares, t, link);
		transfer_free(t);
	}
}
