/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transfers over a queue that many threads use; see shared_queue.h. */
#include "shared_queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "error.h"

#define REAP_AT_ONCE 64

static char *slot_of(const struct transfer *t)
{
	return t->sq->slots + t->req->chain * t->sq->slot_bytes;
}

/* ---- the end of a queue (its lock is held) ----------------------------------- */

static bool is_abandoned(const struct shared_queue *sq)
{
	return __atomic_load_n(&sq->is_abandoned, __ATOMIC_ACQUIRE);
}

/* Tells the poller, which must reap what is in flight now. */
static void note_abandoned(struct shared_queue *sq)
{
	if (!sq->queue->abandoned || sq->is_abandoned)
		return;
	strncpy(sq->reason, error_message(), sizeof(sq->reason) - 1);
	__atomic_store_n(&sq->is_abandoned, true, __ATOMIC_RELEASE);
}

/* Makes t's next stage its last. */
static void fail(struct transfer *t, int code, const char *sentence,
		 struct transfer_list *work)
{
	transfer_fail(t, code, sentence);
	t->place = PLACE_WORKER;
	t->stage = STAGE_FINISH;
	TAILQ_INSERT_TAIL(work, t, link);
}

/* True if t may not go on. */
static bool is_stopped(struct transfer *t, struct transfer_list *work)
{
	if (t->sq->is_abandoned)
		fail(t, t->sq->queue->abandoned, t->sq->reason, work);
	else if (t->is_cancelled)
		fail(t, ETIMEDOUT, "cancelled", work);
	else
		return false;
	return true;
}

/* ---- chains (the queue's lock is held) ---------------------------------------- */

/* Gives free chains to those that wait for one. */
static void pump_backlog(struct shared_queue *sq, struct transfer_list *work)
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

static void put_chain(struct transfer *t)
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
	req->buffer = step->uses_slot ? slot_of(t) : t->buffer;
	req->offset_bytes = step->first_byte;
	req->left_bytes = step->size_bytes;
}

static void send(struct transfer *t, struct transfer_list *work)
{
	struct shared_queue *sq = t->sq;
	int code;

	if (is_stopped(t, work))
		return;
	fill_request(t);
	code = queue_submit(sq->queue, t->req);
	if (code) {
		fail(t, -code, error_message(), work);
		return;
	}
	t->place = PLACE_DEVICE;
	t->stage = STAGE_RETURNED;
	queue_commit(sq->queue);
	note_abandoned(sq);
}

/* Copying is for outside the lock, so such a step comes back for it. */
static void start(struct transfer *t, struct transfer_list *work)
{
	struct shared_queue *sq = t->sq;

	t->place = PLACE_WORKER;
	if (is_stopped(t, work))
		return;
	t->stage = STAGE_SEND;
	if (TAILQ_EMPTY(&sq->backlog))
		t->req = queue_get(sq->queue);
	if (!t->req) {
		t->place = PLACE_BACKLOG;
		TAILQ_INSERT_TAIL(&sq->backlog, t, link);
	} else if (t->step.uses_slot) {
		TAILQ_INSERT_TAIL(work, t, link);
	} else {
		send(t, work);
	}
}

static void claim(struct transfer *t, struct transfer_list *work)
{
	if (is_stopped(t, work))
		return;
	t->stage = STAGE_START;
	t->has_claim = transfer_needs_claim(t);
	if (t->has_claim && !range_lock_take(t->sq->ranges, &t->claim))
		t->place = PLACE_PARKED;
	else
		start(t, work);
}

/* ---- stages (no lock is held) ---------------------------------------------------- */

static void plan(struct transfer *t)
{
	uint32_t block_size = t->sq->queue->disk->info.block_size;

	transfer_plan(t, block_size, t->sq->slot_bytes);
	t->claim = (struct claim){
		.first_byte = t->step.first_byte,
		.end_byte = t->step.first_byte + t->step.size_bytes,
		.is_alone = t->step.is_partial,
		.owner = t,
	};
	t->stage = STAGE_CLAIM;
	if (t->done_bytes && t->timeout_ns)
		__atomic_store_n(&t->deadline_ns, clock_now_ns() + t->timeout_ns,
				 __ATOMIC_RELAXED);
}

/* Gives up chain and claim; who waited for them goes to work. */
static void release(struct transfer *t, struct transfer_list *work)
{
	struct shared_queue *sq = t->sq;
	struct claim_list granted = TAILQ_HEAD_INITIALIZER(granted);
	struct claim *claim;

	if (t->req) {
		pthread_mutex_lock(&sq->lock);
		put_chain(t);
		pump_backlog(sq, work);
		pthread_mutex_unlock(&sq->lock);
	}
	if (t->has_claim)
		range_lock_give(sq->ranges, &t->claim, &granted);
	t->has_claim = false;
	TAILQ_FOREACH(claim, &granted, granted)
		TAILQ_INSERT_TAIL(work, (struct transfer *)claim->owner, link);
}

static void finish(struct transfer *t, struct transfer_list *work)
{
	release(t, work);
	if (t->is_orphan)
		transfer_free(t);
	else
		t->finished(t);
}

static void take_back(struct transfer *t, struct transfer_list *work)
{
	t->stage = STAGE_FINISH;
	if (!t->error && !t->is_orphan && t->step.is_reading) {
		t->step.is_reading = false;
		t->stage = STAGE_SEND;
	} else if (!t->error && !t->is_orphan) {
		transfer_complete_step(t, t->req ? slot_of(t) : NULL);
		if (t->left_bytes)
			t->stage = STAGE_PLAN;
		release(t, work);
	}
	TAILQ_INSERT_HEAD(work, t, link);
}

static void proceed_locked(struct transfer *t, struct transfer_list *work)
{
	pthread_mutex_lock(&t->sq->lock);
	if (t->stage == STAGE_CLAIM)
		claim(t, work);
	else if (t->stage == STAGE_START)
		start(t, work);
	else
		send(t, work);
	pthread_mutex_unlock(&t->sq->lock);
}

static void proceed(struct transfer *t, struct transfer_list *work)
{
	switch (t->stage) {
	case STAGE_RETURNED:
		take_back(t, work);
		return;
	case STAGE_FINISH:
		finish(t, work);
		return;
	case STAGE_PLAN:
		plan(t);
		break;
	case STAGE_SEND:
		transfer_fill(t, slot_of(t));
		break;
	default:
		break;
	}
	proceed_locked(t, work);
}

void shared_queue_work(struct transfer_list *work)
{
	struct transfer *t;

	while ((t = TAILQ_FIRST(work))) {
		TAILQ_REMOVE(work, t, link);
		proceed(t, work);
	}
}

void shared_queue_begin(struct transfer *t)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);

	t->stage = STAGE_PLAN;
	TAILQ_INSERT_TAIL(&work, t, link);
	shared_queue_work(&work);
}

/* ---- looking (the poller alone calls) ------------------------------------------- */

/* Of several failures in one batch, the engine's sentence is the last one's. */
static void note_failure(struct transfer *t, int code, bool is_last)
{
	char sentence[128];

	snprintf(sentence, sizeof(sentence), "the back-end failed a %s of %llu "
		 "bytes at %llu: %s", disk_request_name(t->step.type),
		 (unsigned long long)t->step.size_bytes,
		 (unsigned long long)t->step.first_byte, strerror(code));
	if (is_abandoned(t->sq))
		transfer_fail(t, code, t->sq->reason);
	else
		transfer_fail(t, code, is_last ? error_message() : sentence);
}

/* What needs no copying gives its chain back at once, which saves a lock. */
static void take_from_device(struct transfer *t, int code, bool is_last,
			     struct transfer_list *work)
{
	t->place = PLACE_WORKER;
	if (code)
		note_failure(t, code, is_last);
	if (!t->step.uses_slot)
		put_chain(t);
	TAILQ_INSERT_TAIL(work, t, link);
}

static unsigned int reap(struct shared_queue *sq, struct transfer_list *work)
{
	struct request *done[REAP_AT_ONCE];
	unsigned int count = queue_reap(sq->queue, done, REAP_AT_ONCE);
	bool is_last = true;

	note_abandoned(sq);
	for (unsigned int i = count; i-- > 0;) {
		int code = done[i]->error;

		take_from_device(done[i]->user, code, is_last, work);
		is_last = is_last && !code;
	}
	pump_backlog(sq, work);
	return count;
}

/* A glance without the lock first: only the poller moves used_next. */
static unsigned int look(void *context)
{
	struct shared_queue *sq = context;
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	unsigned int count;

	if (!virtq_has_used(&sq->queue->vq) && !is_abandoned(sq))
		return 0;
	pthread_mutex_lock(&sq->lock);
	count = reap(sq, &work);
	pthread_mutex_unlock(&sq->lock);
	shared_queue_work(&work);
	return count;
}

static bool ask_calls(void *context)
{
	struct shared_queue *sq = context;

	return virtq_ask_calls(&sq->queue->vq) || is_abandoned(sq);
}

static void refuse_calls(void *context)
{
	struct shared_queue *sq = context;

	virtq_refuse_calls(&sq->queue->vq);
}

static unsigned int in_flight(void *context)
{
	struct shared_queue *sq = context;
	unsigned int count;

	pthread_mutex_lock(&sq->lock);
	count = sq->queue->vq.in_flight;
	pthread_mutex_unlock(&sq->lock);
	return count;
}

static void check(void *context)
{
	struct shared_queue *sq = context;

	if (is_abandoned(sq) || !device_is_gone(sq->dev))
		return;
	pthread_mutex_lock(&sq->lock);
	queue_abandon(sq->queue, EIO);
	note_abandoned(sq);
	pthread_mutex_unlock(&sq->lock);
	look(sq);
}

/* ---- cancelling ---------------------------------------------------------------- */

static void withdraw(struct transfer *t, struct transfer_list *work)
{
	struct claim_list granted = TAILQ_HEAD_INITIALIZER(granted);
	struct claim *claim;

	if (!range_lock_withdraw(t->sq->ranges, &t->claim, &granted))
		return;
	t->has_claim = false;
	t->is_orphan = true;
	fail(t, ETIMEDOUT, "cancelled", work);
	TAILQ_FOREACH(claim, &granted, granted)
		TAILQ_INSERT_TAIL(work, (struct transfer *)claim->owner, link);
}

static void detach(struct transfer *t, struct transfer_list *work)
{
	switch (t->place) {
	case PLACE_DEVICE:
		/* Its part in flight must come back; no further one is sent. */
		t->req->left_bytes = 0;
		t->is_orphan = true;
		break;
	case PLACE_BACKLOG:
		TAILQ_REMOVE(&t->sq->backlog, t, link);
		t->is_orphan = true;
		fail(t, ETIMEDOUT, "cancelled", work);
		break;
	case PLACE_PARKED:
		withdraw(t, work);
		break;
	default:
		break;
	}
}

bool shared_queue_cancel(struct transfer *t, struct transfer_list *work)
{
	struct shared_queue *sq = t->sq;
	bool is_orphan;

	pthread_mutex_lock(&sq->lock);
	t->is_cancelled = true;
	detach(t, work);
	is_orphan = t->is_orphan;
	pthread_mutex_unlock(&sq->lock);
	return is_orphan;
}

/* ---- open and close --------------------------------------------------------------- */

void shared_queue_set_wait(struct shared_queue *sq, enum wait_kind kind,
			   unsigned int sleepy_poll_us)
{
	struct poller_source source = {
		.context = sq,
		.look = look,
		.ask_calls = ask_calls,
		.refuse_calls = refuse_calls,
		.in_flight = in_flight,
		.check = check,
		.fds = sq->fds,
		.num_eventfds = 1,
		.num_fds = 2,
	};

	poller_open(&sq->poller, kind, sleepy_poll_us, &source);
}

int shared_queue_open(struct shared_queue *sq, struct device *dev,
		      struct range_lock *ranges, char *slots, uint64_t slot_bytes)
{
	memset(sq, 0, sizeof(*sq));
	sq->queue = device_claim_queue(dev);
	if (!sq->queue)
		return -EBUSY;
	sq->dev = dev;
	sq->ranges = ranges;
	sq->slots = slots;
	sq->slot_bytes = slot_bytes;
	sq->fds[0] = (struct pollfd){ .fd = sq->queue->call_fd, .events = POLLIN };
	sq->fds[1] = (struct pollfd){ .fd = dev->vu.fd, .events = POLLRDHUP };
	TAILQ_INIT(&sq->backlog);
	pthread_mutex_init(&sq->lock, NULL);
	return 0;
}

/* Orphans, that the back-end never gave back. */
static void free_in_flight(const struct queue *queue)
{
	for (uint16_t i = 0; i < queue->vq.shape.num_chains; i++)
		if (queue->vq.is_in_flight[i] && !queue->requests[i].error)
			transfer_free(queue->requests[i].user);
}

void shared_queue_close(struct shared_queue *sq)
{
	if (!sq->queue)
		return;
	free_in_flight(sq->queue);
	poller_close(&sq->poller);
	pthread_mutex_destroy(&sq->lock);
	device_release_queue(sq->dev, sq->queue);
}
