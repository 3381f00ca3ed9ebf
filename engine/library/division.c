/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transfers whose steps are in flight together; see library/division.h. */
#include "library/division.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "library/spares.h"

/* 1 MiB with bounce buffers of 64 KiB. */
#define MOST_HELPERS 16

static void helper_finished(struct finished_list *done, struct transfer_list *work);

/* The planned step of t becomes that of helper. */
static void take_step(struct transfer *t, struct transfer *helper)
{
	*helper = (struct transfer){
		.sq = t->sq,
		.block = helper->block,
		.type = t->type,
		.is_direct = t->is_direct,
		.cursor = t->cursor,
		.timeout_ns = t->timeout_ns,
		.finished = helper_finished,
		.context = t,
		.deadline_ns = clock_now_ns() + t->timeout_ns,
		.offset_bytes = t->offset_bytes,
		.left_bytes = t->step.payload_bytes,
		.stage = STAGE_PLAN,
		.place = PLACE_WORKER,
	};
	transfer_skip_step(t);
}

/* ---- the end of a step (the lock is held) ----------------------------------------- */

static void note_result(struct transfer *t, struct transfer *helper)
{
	if (!helper->error) {
		t->done_bytes += helper->done_bytes;
	} else if (!t->error || helper->offset_bytes < t->failed_byte) {
		free(t->sentence);
		t->error = helper->error;
		t->sentence = helper->sentence;
		t->failed_byte = helper->offset_bytes;
		helper->sentence = NULL;
	}
}

/* Each step has the whole time-out, and t ends when one of them has used it up. */
static void put_off_deadline(struct transfer *t)
{
	uint64_t deadline_ns = UINT64_MAX;
	const struct transfer *helper;

	TAILQ_FOREACH(helper, &t->helpers, sibling)
		if (transfer_deadline_ns(helper) < deadline_ns)
			deadline_ns = transfer_deadline_ns(helper);
	transfer_set_deadline(t, deadline_ns);
}

/* A flush may be left to do. */
static void end(struct transfer *t, struct transfer_list *work)
{
	if (t->is_cancelled)
		transfer_fail(t, ETIMEDOUT, t->why_cancelled);
	transfer_set_deadline(t, clock_now_ns() + t->timeout_ns);
	t->place = PLACE_WORKER;
	t->stage = t->error || transfer_is_complete(t) ? STAGE_FINISH : STAGE_PLAN;
	TAILQ_INSERT_TAIL(work, t, link);
}

static void go_on(struct transfer *t, struct transfer *helper, struct transfer_list *work)
{
	TAILQ_REMOVE(&t->helpers, helper, sibling);
	if (t->left_bytes && !t->error && !t->is_cancelled) {
		transfer_plan_next(t);
		take_step(t, helper);
		TAILQ_INSERT_TAIL(&t->helpers, helper, sibling);
		TAILQ_INSERT_TAIL(work, helper, link);
	} else {
		spares_keep(helper);
	}
	if (TAILQ_EMPTY(&t->helpers))
		end(t, work);
	else
		put_off_deadline(t);
}

static void helper_finished(struct finished_list *done, struct transfer_list *work)
{
	struct transfer *helper = STAILQ_FIRST(done);
	struct transfer *t = helper->context;
	struct shared_queue *sq = t->sq;

	STAILQ_REMOVE_HEAD(done, next);
	pthread_mutex_lock(&sq->lock);
	/* The reason why helpers of a cancelled transfer end is that of the transfer. */
	if (!t->is_cancelled)
		note_result(t, helper);
	go_on(t, helper, work);
	pthread_mutex_unlock(&sq->lock);
}

/* ---- the beginning ------------------------------------------------------------------ */

static bool has_more_steps(const struct transfer *t)
{
	return t->step.payload_bytes < t->left_bytes;
}

/* Memory for helpers may be short: then there are fewer of them, or none. */
static void make_helpers(struct transfer *t)
{
	struct transfer *helper;

	TAILQ_INIT(&t->helpers);
	for (unsigned int i = 0; i < MOST_HELPERS && t->left_bytes; i++) {
		helper = spares_take(t->sq);
		if (!helper)
			break;
		if (i)
			transfer_plan_next(t);
		take_step(t, helper);
		TAILQ_INSERT_TAIL(&t->helpers, helper, sibling);
	}
}

/* From here on, a thread that cancels t ends its helpers. Returns false if t was ended
 * before. */
static bool hand_over(struct transfer *t, struct transfer_list *work)
{
	struct transfer *helper;

	if (t->sq->is_abandoned || t->is_cancelled)
		return false;
	t->place = PLACE_DIVIDED;
	TAILQ_FOREACH(helper, &t->helpers, sibling)
		TAILQ_INSERT_TAIL(work, helper, link);
	return true;
}

static void free_helpers(struct transfer *t)
{
	struct transfer *helper;

	while ((helper = TAILQ_FIRST(&t->helpers))) {
		TAILQ_REMOVE(&t->helpers, helper, sibling);
		spares_keep(helper);
	}
}

bool division_begin(struct transfer *t, struct transfer_list *work)
{
	struct shared_queue *sq = t->sq;
	bool is_divided;

	if (!has_more_steps(t) || transfer_may_lend(t))
		return false;
	make_helpers(t);
	if (TAILQ_EMPTY(&t->helpers))
		return false;
	pthread_mutex_lock(&sq->lock);
	is_divided = hand_over(t, work);
	pthread_mutex_unlock(&sq->lock);
	if (!is_divided)
		free_helpers(t);
	return is_divided;
}
