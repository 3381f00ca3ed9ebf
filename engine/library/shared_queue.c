/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue that many threads use; see library/shared_queue.h. */
#include "library/shared_queue.h"

#include <errno.h>
#include <string.h>

#include "library/stages.h"
#include "base/error.h"
#include "base/eventfd.h"

void shared_queue_begin(struct transfer *t)
{
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);

	t->stage = STAGE_PLAN;
	TAILQ_INSERT_TAIL(&work, t, link);
	carry_work(&work);
}

/* ---- looking (any thread) ------------------------------------------------------- */

/* What needs no copying gives its chain back at once, which saves a lock. */
static void take_from_device(struct transfer *t, const struct request *req,
			     struct transfer_list *work)
{
	struct shared_queue *sq = t->sq;

	t->place = PLACE_WORKER;
	if (req->error)
		transfer_fail(t, req->error, carry_is_abandoned(sq) ? sq->reason :
					     queue_explain(sq->queue, req));
	if (!t->step.uses_slot)
		carry_put_chain(t);
	TAILQ_INSERT_TAIL(work, t, link);
}

static unsigned int reap(struct shared_queue *sq, struct transfer_list *work)
{
	struct request *done[QUEUE_REAP_AT_ONCE];
	unsigned int count = queue_reap(sq->queue, done, QUEUE_REAP_AT_ONCE);

	carry_note_abandoned(sq);
	carry_note_in_flight(sq);
	for (unsigned int i = 0; i < count; i++)
		take_from_device(done[i]->user, done[i], work);
	carry_pump_backlog(sq, work);
	return count;
}

/* Who reaps what the poller asked for a call for asks anew in its place. */
static unsigned int reap_all(struct shared_queue *sq, struct transfer_list *work)
{
	struct virtq *vq = &sq->queue->vq;
	unsigned int count = 0;

	if (!virtq_has_used(vq) && !sq->is_abandoned)
		return 0;
	do
		count += reap(sq, work);
	while (sq->is_asking && !sq->is_abandoned && virtq_ask_calls(vq));
	return count;
}

/* While another has the lock there is no need: it submits, or looks itself. */
static unsigned int look(void *context)
{
	struct shared_queue *sq = context;
	struct transfer_list work = TAILQ_HEAD_INITIALIZER(work);
	unsigned int count;

	if (pthread_mutex_trylock(&sq->lock))
		return 0;
	count = reap_all(sq, &work);
	pthread_mutex_unlock(&sq->lock);
	carry_work(&work);
	return count;
}

/* ---- the poller's calls ----------------------------------------------------------- */

static bool ask_calls(void *context)
{
	struct shared_queue *sq = context;
	bool has_some;

	pthread_mutex_lock(&sq->lock);
	sq->is_asking = true;
	has_some = virtq_ask_calls(&sq->queue->vq) || sq->is_abandoned;
	pthread_mutex_unlock(&sq->lock);
	return has_some;
}

static void refuse_calls(void *context)
{
	struct shared_queue *sq = context;

	pthread_mutex_lock(&sq->lock);
	sq->is_asking = false;
	virtq_refuse_calls(&sq->queue->vq);
	pthread_mutex_unlock(&sq->lock);
}

static void interrupt(void *context)
{
	struct shared_queue *sq = context;
	bool is_asking;

	pthread_mutex_lock(&sq->lock);
	is_asking = sq->is_asking;
	pthread_mutex_unlock(&sq->lock);
	/* Should this fail, the poller looks again in some milliseconds. */
	if (is_asking)
		eventfd_kick(sq->queue->call_fd);
}

static unsigned int in_flight(void *context)
{
	const struct shared_queue *sq = context;

	return __atomic_load_n(&sq->num_in_flight, __ATOMIC_RELAXED);
}

static void check(void *context)
{
	struct shared_queue *sq = context;

	if (carry_is_abandoned(sq) || !device_is_gone(sq->dev))
		return;
	error_name(sq->dev->vu.path);
	pthread_mutex_lock(&sq->lock);
	queue_abandon(sq->queue, EIO);
	carry_note_abandoned(sq);
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
	carry_fail(t, ETIMEDOUT, "cancelled", work);
	TAILQ_FOREACH(claim, &granted, granted)
		TAILQ_INSERT_TAIL(work, (struct transfer *)claim->owner, link);
}

static void detach(struct transfer *t, struct transfer_list *work)
{
	switch (t->place) {
	case PLACE_DEVICE:
		/* Its part in flight must come back; no further one follows it. */
		t->req->left_bytes = 0;
		t->is_orphan = true;
		break;
	case PLACE_BACKLOG:
		TAILQ_REMOVE(&t->sq->backlog, t, link);
		t->is_orphan = true;
		carry_fail(t, ETIMEDOUT, "cancelled", work);
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
		.interrupt = interrupt,
		.in_flight = in_flight,
		.check = check,
		.fds = sq->fds,
		.num_eventfds = 1,
		.num_fds = 2,
	};

	poller_open(&sq->poller, kind, sleepy_poll_us, &source);
}

/* It is held for instants: who finds it taken looks on before it sleeps. */
static void make_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
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
	make_lock(&sq->lock);
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
