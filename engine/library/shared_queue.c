/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue that many threads use; see library/shared_queue.h. */
#include "library/shared_queue.h"

#include <errno.h>
#include <string.h>

#include "library/spares.h"
#include "library/stages.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/eventfd.h"

void shared_queue_begin(struct transfer *t)
{
	carry_own(t);
}

/* ---- looking (any thread) ------------------------------------------------------- */

/* Still true after a request of an abandoned queue was reaped: see device/queue.h. */
static bool is_with_back_end(const struct transfer *t)
{
	return virtq_holds(&t->sq->queue->vq, t->req->chain);
}

/* What a thread found done. */
struct reaped {
	struct transfer_list work;
	struct finished_list done;
};

#define REAPED_INITIALIZER(reaped) \
	{ TAILQ_HEAD_INITIALIZER(reaped.work), STAILQ_HEAD_INITIALIZER(reaped.done) }

/* Usually a transfer was one step, and nothing is left to do. */
static inline void finish_whole(struct shared_queue *sq, struct transfer *t,
				struct finished_list *done)
{
	t->place = PLACE_WORKER;
	queue_put(sq->queue, t->req);
	if (t->lent)
		transfer_return_memory(t);
	STAILQ_INSERT_TAIL(done, t, next);
}

/* A transfer without a bounce buffer gives its chain back here, because the lock is
 * held already. */
static void take_from_device(struct transfer *t, const struct request *req,
			     struct transfer_list *work)
{
	t->place = PLACE_WORKER;
	transfer_spread(t);
	if (is_with_back_end(t))
		transfer_hold_memory(t);
	else
		transfer_release_memory(t);
	if (req->error)
		carry_note_error(t, req);
	if (!t->step.uses_slot)
		carry_put_chain(t);
	TAILQ_INSERT_TAIL(work, t, link);
}

static void finish_locked(struct finished_list *done, struct reaped *reaped)
{
	struct transfer *t;

	while ((t = STAILQ_FIRST(done)))
		if (t->is_finished_locked)
			t->finished(done, &reaped->work);
		else
			finished_move(done, t, &reaped->done);
}

static unsigned int reap(struct shared_queue *sq, struct reaped *reaped)
{
	struct finished_list whole = STAILQ_HEAD_INITIALIZER(whole);
	struct request *done[QUEUE_REAP_AT_ONCE];
	unsigned int count = queue_reap(sq->queue, done, QUEUE_REAP_AT_ONCE);

	carry_note_abandoned(sq);
	carry_note_in_flight(sq);
	for (unsigned int i = 0; i < count; i++) {
		struct transfer *t = done[i]->user;

		if (!t) /* the question of device_attach() for the ID, which was left */
			queue_put(sq->queue, done[i]);
		else if (t->is_whole && !done[i]->error)
			finish_whole(sq, t, &whole);
		else
			take_from_device(t, done[i], &reaped->work);
	}
	finish_locked(&whole, reaped);
	carry_pump_backlog(sq, &reaped->work);
	return count;
}

/* Barrier W of library/poller.c: the poller sets it, then looks whether its wait is over. */
static bool is_asking(const struct shared_queue *sq)
{
	return __atomic_load_n(&sq->is_asking, __ATOMIC_SEQ_CST);
}

/* A thread that takes the completions for which the poller wants a call asks for
 * calls again, because the poller may still be blocked. */
static unsigned int reap_all(struct shared_queue *sq, struct reaped *reaped)
{
	struct virtq *vq = &sq->queue->vq;
	unsigned int count = 0;

	if (!virtq_has_used(vq) && !sq->is_abandoned && !queue_is_due(sq->queue))
		return 0;
	do
		count += reap(sq, reaped);
	while (is_asking(sq) && !sq->is_abandoned && virtq_ask_calls(vq));
	return count;
}

static unsigned int look_and_unlock(struct shared_queue *sq)
{
	struct reaped reaped = REAPED_INITIALIZER(reaped);
	unsigned int count = reap_all(sq, &reaped);

	pthread_mutex_unlock(&sq->lock);
	carry_reaped(&reaped.work, &reaped.done);
	return count;
}

/* Another thread that has the lock submits or looks, so this thread need not wait. */
static unsigned int look(void *context)
{
	struct shared_queue *sq = context;

	return pthread_mutex_trylock(&sq->lock) ? 0 : look_and_unlock(sq);
}

/* ---- the poller's calls ----------------------------------------------------------- */

static bool ask_calls(void *context)
{
	struct shared_queue *sq = context;
	bool has_some;

	pthread_mutex_lock(&sq->lock);
	/* poll(2) would return at once, again and again, while the back-end is away. */
	sq->fds[1].fd = sq->is_away ? -1 : sq->dev->vu.fd;
	__atomic_store_n(&sq->is_asking, true, __ATOMIC_SEQ_CST);
	has_some = virtq_ask_calls(&sq->queue->vq) || sq->is_abandoned;
	pthread_mutex_unlock(&sq->lock);
	return has_some;
}

static void refuse_calls(void *context)
{
	struct shared_queue *sq = context;

	pthread_mutex_lock(&sq->lock);
	__atomic_store_n(&sq->is_asking, false, __ATOMIC_SEQ_CST);
	virtq_refuse_calls(&sq->queue->vq);
	pthread_mutex_unlock(&sq->lock);
}

/* With the lock held or not; see is_asking(). */
static void interrupt(void *context)
{
	struct shared_queue *sq = context;

	/* If this fails, the poller still looks again within 10 ms. */
	if (is_asking(sq))
		eventfd_kick(sq->queue->call_fd);
}

static void kick(void *context)
{
	carry_kick(context);
}

static unsigned int in_flight(void *context)
{
	const struct shared_queue *sq = context;

	return __atomic_load_n(&sq->num_in_flight, __ATOMIC_RELAXED);
}

/* Takes what has completed, and ends all other transfers with code and the calling
 * thread's sentence, which stays as it is. */
static void abandon(struct shared_queue *sq, int code)
{
	struct reaped reaped = REAPED_INITIALIZER(reaped);
	const struct error_kept kept = error_keep();

	pthread_mutex_lock(&sq->lock);
	while (virtq_has_used(&sq->queue->vq) && reap(sq, &reaped))
		;
	/* A request that failed has set its own. */
	error_restore(&kept);
	queue_abandon(sq->queue, code);
	carry_note_abandoned(sq);
	while (reap(sq, &reaped))
		;
	pthread_mutex_unlock(&sq->lock);
	carry_reaped(&reaped.work, &reaped.done);
	error_restore(&kept);
}

static uint64_t no_deadline_before_ns(const struct shared_queue *sq)
{
	return __atomic_load_n(&sq->no_deadline_before_ns, __ATOMIC_RELAXED);
}

uint64_t shared_queue_deadline_ns(const struct transfer *t)
{
	uint64_t own_ns = transfer_deadline_ns(t), least_ns = no_deadline_before_ns(t->sq);

	return own_ns > least_ns ? own_ns : least_ns;
}

/* Called with the lock held, so that this thread owns the queue. */
static int keep_connected(struct shared_queue *sq)
{
	int state = device_keep_connected(sq->dev, sq->queue);

	sq->is_away = state == CONNECTION_AWAY;
	if (state == CONNECTION_AWAY || state == CONNECTION_IS_BACK)
		__atomic_store_n(&sq->no_deadline_before_ns,
				 clock_now_ns() + sq->timeout_ns, __ATOMIC_RELAXED);
	/* A ring that begins again wants no calls, but the poller may be blocked until one
	 * comes. What completed before this is found by the look that follows. */
	if (state == CONNECTION_IS_BACK && is_asking(sq))
		virtq_ask_calls(&sq->queue->vq);
	return state;
}

/* Waits for the lock, because the thread that has it may have a lower priority, and get
 * no CPU while this thread polls. */
static void check_one(struct shared_queue *sq)
{
	int state = CONNECTION_RUNS;

	pthread_mutex_lock(&sq->lock);
	if (!sq->is_abandoned)
		state = keep_connected(sq);
	if (state >= 0) {
		look_and_unlock(sq);
		return;
	}
	pthread_mutex_unlock(&sq->lock);
	error_name(sq->dev->vu.path);
	abandon(sq, EIO);
}

/* Also looks at the other queues of the device: a transfer of this queue may wait for
 * blocks that a transfer of another queue has claimed, and perhaps no thread looks at
 * that queue. */
static void check(void *context)
{
	struct shared_queue *sq = context;

	device_notice_changes(sq->dev);
	for (unsigned int i = 0; i < sq->num_siblings; i++)
		check_one(&sq->siblings[i]);
}

void shared_queue_shutdown(struct shared_queue *sq)
{
	error_set(ECANCELED, "%s: the disk was closed before this was done",
		  sq->dev->vu.path);
	abandon(sq, ECANCELED);
}

/* ---- open and close --------------------------------------------------------------- */

void shared_queue_set_wait(struct shared_queue *sq, enum wait_kind kind,
			   unsigned int sleepy_poll_us, uint64_t timeout_ns)
{
	struct poller_source source = {
		.context = sq,
		.look = look,
		.ask_calls = ask_calls,
		.refuse_calls = refuse_calls,
		.interrupt = interrupt,
		.kick = kick,
		.in_flight = in_flight,
		.check = check,
		.fds = sq->fds,
		.num_eventfds = 1,
		.num_fds = 2,
	};

	sq->timeout_ns = sq->queue->retry_limit_ns = timeout_ns;
	poller_open(&sq->poller, kind, sleepy_poll_us, &source);
}

/* The lock is held only briefly, so a thread that has to wait for it spins before it
 * sleeps. */
static void make_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

int shared_queue_open(struct shared_queue *sq, struct device *dev,
		      struct claims *claims, char *slots, uint64_t slot_bytes)
{
	memset(sq, 0, sizeof(*sq));
	sq->queue = device_claim_queue(dev);
	if (!sq->queue)
		return -EBUSY;
	sq->dev = dev;
	sq->siblings = sq;
	sq->num_siblings = 1;
	sq->claims = claims;
	sq->slots = slots;
	sq->slot_bytes = slot_bytes;
	sq->fds[0] = (struct pollfd){ .fd = sq->queue->call_fd, .events = POLLIN };
	sq->fds[1] = (struct pollfd){ .fd = dev->vu.fd, .events = POLLRDHUP };
	TAILQ_INIT(&sq->backlog);
	TAILQ_INIT(&sq->spares);
	make_lock(&sq->lock);
	make_lock(&sq->spares_lock);
	return 0;
}

/* Frees the detached transfers that the back-end has not given back. */
static void free_in_flight(const struct queue *queue)
{
	for (uint16_t i = 0; i < queue->vq.shape.num_chains; i++) {
		struct transfer *t = queue_user_in_flight(queue, i);

		if (t)
			transfer_free(t);
	}
}

void shared_queue_close(struct shared_queue *sq)
{
	if (!sq->queue)
		return;
	free_in_flight(sq->queue);
	spares_free(sq);
	poller_close(&sq->poller);
	pthread_mutex_destroy(&sq->spares_lock);
	pthread_mutex_destroy(&sq->lock);
	device_release_queue(sq->dev, sq->queue);
}
