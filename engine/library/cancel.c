/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cancels transfers: shared_queue_cancel(), which library/shared_queue.h declares. Any
 * thread, with the queue's lock held.
 */
#include <errno.h>
#include <string.h>

#include "library/claims.h"
#include "library/shared_queue.h"
#include "library/stages.h"
#include "base/error.h"

/* The calling thread's sentence is the reason. */
static void mark_cancelled(struct transfer *t)
{
	if (!t->is_cancelled)
		t->why_cancelled = strdup(error_message());
	t->is_cancelled = true;
}

static enum cancelled withdraw(struct transfer *t, struct transfer_list *work)
{
	if (!claims_withdraw(t, work))
		return CANCELLED_SOON;
	t->is_detached = true;
	carry_fail(t, ETIMEDOUT, t->why_cancelled, work);
	return CANCELLED_NOW;
}

/* The part in flight must come back, but no further part is sent after it. */
static enum cancelled recall(struct transfer *t, bool leaves_memory)
{
	transfer_spread(t);
	t->req->left_bytes = 0;
	queue_end_retries_of(t->req);
	if (transfer_lends_memory(t) && !leaves_memory) {
		transfer_fail(t, ETIMEDOUT, t->why_cancelled);
		return CANCELLED_LATER;
	}
	transfer_hold_memory(t);
	t->is_detached = true;
	return CANCELLED_NOW;
}

static enum cancelled detach(struct transfer *t, bool leaves_memory,
			     struct transfer_list *work);

/* Some helpers may be in the hands of other threads, which end t then. */
static enum cancelled detach_helpers(struct transfer *t, struct transfer_list *work)
{
	struct transfer *helper, *next;

	for (helper = TAILQ_FIRST(&t->helpers); helper; helper = next) {
		next = TAILQ_NEXT(helper, sibling);
		helper->is_cancelled = true;
		if (detach(helper, true, work) == CANCELLED_NOW)
			TAILQ_REMOVE(&t->helpers, helper, sibling);
	}
	if (!TAILQ_EMPTY(&t->helpers))
		return CANCELLED_SOON;
	t->is_detached = true;
	carry_fail(t, ETIMEDOUT, t->why_cancelled, work);
	return CANCELLED_NOW;
}

static enum cancelled detach(struct transfer *t, bool leaves_memory,
			     struct transfer_list *work)
{
	switch (t->place) {
	case PLACE_DIVIDED:
		return detach_helpers(t, work);
	case PLACE_DEVICE:
		return recall(t, leaves_memory);
	case PLACE_BACKLOG:
		TAILQ_REMOVE(&t->sq->backlog, t, link);
		t->is_detached = true;
		carry_fail(t, ETIMEDOUT, t->why_cancelled, work);
		return CANCELLED_NOW;
	case PLACE_PARKED:
		return withdraw(t, work);
	default:
		return CANCELLED_SOON;
	}
}

enum cancelled shared_queue_cancel(struct transfer *t, bool leaves_memory,
				   struct transfer_list *work)
{
	/* It came back, and has finished. */
	if (t->is_whole && t->place == PLACE_WORKER)
		return CANCELLED_SOON;
	mark_cancelled(t);
	return detach(t, leaves_memory, work);
}
