/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves transfers from stage to stage; see library/stages.h. */
#include "library/stages.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "library/division.h"

/* A thread that has copied so much to or from bounce buffers sends and finishes what it
 * has, before it copies more. */
#define COPY_AT_ONCE_BYTES (128u << 10)

static char *slot_of(const struct transfer *t)
{
	return t->sq->slots + t->req->chain * t->sq->slot_bytes;
}

/* ---- the end of a queue (its lock is held) ----------------------------------- */

bool carry_is_abandoned(const struct shared_queue *sq)
{
	return __atomic_load_n(&sq->is_abandoned, __ATOMIC_ACQUIRE);
}

void carry_note_in_flight(struct shared_queue *sq)
{
	__atomic_store_n(&sq->num_in_flight, queue_in_flight(sq->queue),
			 __ATOMIC_RELAXED);
}

void carry_note_abandoned(struct shared_queue *sq)
{
	if (!sq->queue->abandoned || sq->is_abandoned)
		return;
	snprintf(sq->reason, sizeof(sq->reason), "%s", sq->queue->reason);
	__atomic_store_n(&sq->is_abandoned, true, __ATOMIC_RELEASE);
}

/* The reason may be that the disk shrank. */
void carry_note_error(struct transfer *t, const struct request *req)
{
	device_notice_changes(t->sq->dev);
	transfer_fail(t, req->error, carry_is_abandoned(t->sq) ? t->sq->reason :
				     queue_explain(t->sq->queue, req));
}

void carry_fail(struct transfer *t, int code, const char *sentence,
		 struct transfer_list *work)
{
	transfer_fail(t, code, sentence);
	t->place = PLACE_WORKER;
	t->stage = STAGE_FINISH;
	TAILQ_INSERT_TAIL(work, t, link);
}

/* Returns true if t may not continue; it is in work then. */
static inline bool is_stopped(struct transfer *t, struct transfer_list *work)
{
	if (t->sq->is_abandoned)
		carry_fail(t, t->sq->queue->abandoned, t->sq->reason, work);
	else if (t->is_cancelled)
		carry_fail(t, ETIMEDOUT, t->why_cancelled, work);
	else
		return false;
	return true;
}

/* ---- chains (the queue's lock is held) ---------------------------------------- */

void carry_pump_backlog(struct shared_queue *sq, struct transfer_list *work)
{
	struct transfer *t;

	while ((t = TAILQ_FIRST(&sq->backlog))) {
		if (!sq->is_abandoned && !(t->req = queue_get(sq->queue)))
			break;
		TAILQ_REMOVE(&sq->backlog, t, link);
		t->place = PLACE_WORKER;
		if (!is_stopped(t, work))
			TAILQ_INSERT_TAIL(work, t, link);
	}
}

void carry_put_chain(struct transfer *t)
{
	if (t->req)
		queue_put(t->sq->queue, t->req);
	t->req = NULL;
}

/* ---- sending (the queue's lock is held) ---------------------------------------- */

static void fill_request(struct transfer *t)
{
	const struct step *step = &t->step;
	struct request *req = t->req;

	req->user = t;
	req->type = step->is_reading ? REQUEST_READ : step->type;
	req->buffer = step->uses_slot ? slot_of(t) : t->cursor.at;
	req->offset_bytes = step->first_byte;
	req->left_bytes = step->size_bytes;
}

/* Operations were checked, and steps are whole blocks within the disk. */
static inline void send(struct transfer *t)
{
	fill_request(t);
	queue_submit_checked(t->sq->queue, t->req);
	t->place = PLACE_DEVICE;
	t->stage = STAGE_RETURNED;
}

/* A step that uses a bounce buffer returns to work, because it is filled without the
 * lock. */
static inline void start(struct transfer *t, struct transfer_list *work)
{
	struct shared_queue *sq = t->sq;

	t->stage = STAGE_SEND;
	t->req = TAILQ_EMPTY(&sq->backlog) ? queue_get(sq->queue) : NULL;
	if (!t->req) {
		t->place = PLACE_BACKLOG;
		TAILQ_INSERT_TAIL(&sq->backlog, t, link);
	} else if (t->step.uses_slot) {
		TAILQ_INSERT_TAIL(work, t, link);
	} else {
		send(t);
	}
}

static inline void claim(struct transfer *t, struct transfer_list *work)
{
	t->stage = STAGE_START;
	if (transfer_needs_claim(t) && !claims_take(t))
		t->place = PLACE_PARKED;
	else
		start(t, work);
}

/* Usually a whole transfer can be sent at once. */
static inline bool send_whole(struct shared_queue *sq, struct transfer *t)
{
	struct request *req;

	if (!t->is_whole || !TAILQ_EMPTY(&sq->backlog) || sq->is_abandoned ||
	    (t->type != REQUEST_READ && claims_are_needed(sq->claims)))
		return false;
	req = queue_get(sq->queue);
	if (!req)
		return false;
	req->user = t;
	req->type = t->type;
	req->buffer = t->cursor.at;
	req->offset_bytes = t->offset_bytes;
	req->left_bytes = t->left_bytes;
	queue_submit_checked(sq->queue, req);
	t->req = req;
	t->place = PLACE_DEVICE;
	return true;
}

void carry_start(struct shared_queue *sq, struct transfer *t, struct transfer_list *work)
{
	if (send_whole(sq, t))
		return;
	transfer_unsend(t);
	TAILQ_INSERT_TAIL(work, t, link);
}

/* A transfer whose step is over gives its chain back, and continues without the lock. */
static void proceed_locked(struct transfer *t, struct transfer_list *work)
{
	bool expects_claim = t->stage == STAGE_CLAIM && t->step.is_partial;

	t->place = PLACE_WORKER;
	if (t->stage == STAGE_PLAN || t->stage == STAGE_FINISH) {
		carry_put_chain(t);
		TAILQ_INSERT_TAIL(work, t, link);
	} else if (is_stopped(t, work)) {
		if (expects_claim)
			claims_forget(t);
	} else if (t->stage == STAGE_CLAIM) {
		claim(t, work);
	} else if (t->stage == STAGE_START) {
		start(t, work);
	} else {
		send(t);
	}
}

void carry_kick(struct shared_queue *sq)
{
	if (!queue_kick(sq->queue))
		return;
	pthread_mutex_lock(&sq->lock);
	queue_abandon(sq->queue, EIO);
	carry_note_abandoned(sq);
	pthread_mutex_unlock(&sq->lock);
}

/* Kicks after unlocking, because a kick is a system call for which other threads need
 * not wait. If the calling thread has sent the transfer for which it waits next, that
 * wait may kick, for the requests of several threads. */
static void unlock_and_kick(struct shared_queue *sq, bool waits_next)
{
	bool needs_kick = queue_publish(sq->queue);

	carry_note_in_flight(sq);
	pthread_mutex_unlock(&sq->lock);
	if (needs_kick && !(waits_next && poller_takes_kick(&sq->poller)))
		carry_kick(sq);
}

void carry_unlock(struct shared_queue *sq)
{
	unlock_and_kick(sq, false);
}

/* ---- stages (no lock is held) ---------------------------------------------------- */

/* The transfers that one thread carries on. */
struct load {
	struct transfer_list *work;
	struct transfer_list ready; /* their next stage needs the lock of their queue */
	struct finished_list *done;
	const struct transfer *own; /* the one that the thread waits for next, or NULL */
	uint64_t copied_bytes;      /* since the last two were empty */
};

/* The queue's lock is held. Returns true if the own transfer has been sent. From then
 * on its memory may belong to another one. */
static bool leave_own(struct load *load)
{
	enum transfer_place place = load->own->place;

	if (place != PLACE_WORKER)
		load->own = NULL;
	return place == PLACE_DEVICE;
}

/* All that belong to one queue need its lock only once, and one kick. */
static void send_ready(struct load *load)
{
	struct transfer *t, *next;

	while ((t = TAILQ_FIRST(&load->ready))) {
		struct shared_queue *sq = t->sq;
		bool waits_next = false;

		pthread_mutex_lock(&sq->lock);
		for (; t; t = next) {
			next = TAILQ_NEXT(t, link);
			if (t->sq != sq)
				continue;
			TAILQ_REMOVE(&load->ready, t, link);
			proceed_locked(t, load->work);
			if (t == load->own)
				waits_next = leave_own(load);
		}
		carry_pump_backlog(sq, load->work);
		unlock_and_kick(sq, waits_next);
	}
}

/* The transfers may be gone afterwards. */
static void finish_done(struct load *load)
{
	const struct transfer *t;

	while ((t = STAILQ_FIRST(load->done))) {
		pthread_mutex_t *lock = t->is_finished_locked ? &t->sq->lock : NULL;

		if (lock)
			pthread_mutex_lock(lock);
		t->finished(load->done, load->work);
		if (lock)
			pthread_mutex_unlock(lock);
	}
}

/* Long copies do not delay what the back-end or other threads could do meanwhile. */
static void note_copy(struct load *load, uint64_t size_bytes)
{
	load->copied_bytes += size_bytes;
	if (load->copied_bytes < COPY_AT_ONCE_BYTES)
		return;
	load->copied_bytes = 0;
	send_ready(load);
	finish_done(load);
}

/* Returns false if helpers carry out the next steps; they are in work. */
static bool plan(struct transfer *t, struct transfer_list *work)
{
	transfer_plan_next(t);
	if (division_begin(t, work))
		return false;
	transfer_note_planned(t);
	if (t->step.is_partial)
		claims_expect(t);
	if (t->done_bytes && t->timeout_ns)
		transfer_set_deadline(t, clock_now_ns() + t->timeout_ns);
	return true;
}

/* The step came back. */
static void take_back(struct transfer *t)
{
	t->stage = STAGE_FINISH;
	if (t->error || t->is_detached)
		return;
	if (t->step.is_reading) {
		t->step.is_reading = false;
		t->stage = STAGE_SEND;
		return;
	}
	transfer_complete_step(t, t->req ? slot_of(t) : NULL);
	if (!transfer_is_complete(t))
		t->stage = STAGE_PLAN;
}

/* Nobody waits for it, and the device does not have it any more. */
static void end_detached(struct transfer *t)
{
	pthread_mutex_t *lock = &t->sq->lock;
	bool is_kept;

	if (!t->is_held)
		transfer_return_memory(t);
	pthread_mutex_lock(lock);
	is_kept = t->is_kept;
	t->is_detached = false;
	pthread_mutex_unlock(lock);
	if (!is_kept)
		transfer_free(t);
}

/* The transfer has neither a chain nor a claim. */
static void finish(struct transfer *t, struct load *load)
{
	if (t->is_detached) {
		end_detached(t);
		return;
	}
	/* Once the program knows the result, it may unregister the memory. */
	if (!t->is_held)
		transfer_return_memory(t);
	STAILQ_INSERT_TAIL(load->done, t, next);
}

static void proceed(struct transfer *t, struct load *load)
{
	bool copies = t->step.uses_slot &&
		      (t->stage == STAGE_RETURNED || t->stage == STAGE_SEND);

	if (t->stage == STAGE_RETURNED)
		take_back(t);
	if (t->stage == STAGE_SEND)
		transfer_fill(t, slot_of(t));
	if (t->has_claim && (t->stage == STAGE_PLAN || t->stage == STAGE_FINISH))
		claims_give(t, load->work);
	if (t->stage == STAGE_FINISH && !t->req) {
		finish(t, load);
		return;
	}
	if (t->stage == STAGE_PLAN && !t->req && !plan(t, load->work))
		return;
	TAILQ_INSERT_TAIL(&load->ready, t, link);
	if (copies)
		note_copy(load, t->step.size_bytes);
}

static void carry(struct transfer_list *work, struct finished_list *done,
		  const struct transfer *own)
{
	struct load load = { .work = work, .done = done, .own = own };
	struct transfer *t;

	TAILQ_INIT(&load.ready);
	finish_done(&load);
	while (!TAILQ_EMPTY(work)) {
		while ((t = TAILQ_FIRST(work))) {
			TAILQ_REMOVE(work, t, link);
			proceed(t, &load);
		}
		send_ready(&load);
		finish_done(&load);
	}
}

void carry_reaped(struct transfer_list *work, struct finished_list *done)
{
	carry(work, done, NULL);
}

void carry_work(struct transfer_list *work)
{
	struct finished_list done = STAILQ_HEAD_INITIALIZER(done);

	carry(work, &done, NULL);
}

void carry_own(struct transfer *t)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	struct finished_list done = STAILQ_HEAD_INITIALIZER(done);
	struct shared_queue *sq = t->sq;
	bool is_sent = false;

	if (t->is_whole) {
		pthread_mutex_lock(&sq->lock);
		carry_start(sq, t, &work);
		is_sent = t->place == PLACE_DEVICE;
		unlock_and_kick(sq, is_sent);
	} else {
		TAILQ_INSERT_TAIL(&work, t, link);
	}
	if (!is_sent)
		carry(&work, &done, t);
}
