/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The request path: takes requests from a ring, lets the device carry them out,
 * adds latency and faults, and completes the requests.
 *
 * Only the worker that serves the ring enters it. This file does not allocate
 * or lock. Its only system calls are the calls that the client wants, and a
 * signal to the control thread for some faults. It reads the clock, which needs
 * no system call, if there is a latency or a fault on requests.
 */
#include <errno.h>
#include <time.h>

#include "ring/trace.h"
#include "serve/effects.h"
#include "serve/worker.h"

enum {
	/* Most requests that are taken at once. */
	TAKE_MAX = 64,
	/* How many requests ahead memory is prefetched. */
	PREFETCH_AHEAD = 4,
	/* After so much data of one ring, the other rings have their turn, and
	 * the control thread can park the worker. */
	TURN_BYTES = 4 << 20,
};

/* The requests that were taken at once. */
struct batch {
	uint64_t arrival_ns; /* 0: it is not needed */
	uint64_t moved_bytes; /* since requests were last published */
	uint64_t turn_bytes;  /* in this turn before that */
	uint32_t faults; /* of the requests to be published */
};

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- completing --------------------------------------------------------- */

static void publish(struct worker *worker, struct ring *ring, uint32_t faults)
{
	bool wanted;

	if (ring->used_index == ring->published_index)
		return;
	if (unlikely(ring->trace != NULL))
		trace_publishing(ring->trace, ring);
	wanted = ring_publish(ring);
	if (unlikely(faults & FAULT_BIT(FAULT_SPURIOUS_CALL)))
		ring_call(ring);
	if (unlikely(faults & FAULT_BIT(FAULT_LOST_CALL)))
		wanted = false;
	if (wanted && ring_call(ring))
		worker->statistics.calls_sent++;
	else
		worker->statistics.calls_suppressed++;
}

static void put_faulty(struct ring *ring, const struct held *done)
{
	uint32_t id = done->head, used_bytes = done->used_bytes;

	if (done->faults & FAULT_BIT(FAULT_BAD_ID))
		id += ring->size;
	if (done->faults & FAULT_BIT(FAULT_BAD_LENGTH))
		used_bytes = UINT32_MAX;
	if (done->faults & FAULT_BIT(FAULT_TWICE))
		ring_put(ring, id, used_bytes);
	if (done->faults & FAULT_BIT(FAULT_USED_JUMP))
		ring->used_index += done->jump;
	ring_put(ring, id, used_bytes);
}

static void complete(struct ring *ring, const struct held *done,
		     struct batch *batch)
{
	if (likely(!done->faults)) {
		ring_put(ring, done->head, done->used_bytes);
		return;
	}
	put_faulty(ring, done);
	batch->faults |= done->faults;
}

static unsigned int complete_due(struct worker *worker, struct ring *ring,
				 uint64_t until_ns)
{
	struct batch batch = { 0 };
	unsigned int count = 0;

	while (ring->held.count && ring->held.entries[0].deadline_ns <= until_ns) {
		struct held done = held_remove(&ring->held, 0);

		complete(ring, &done, &batch);
		count++;
	}
	if (count)
		publish(worker, ring, batch.faults);
	return count;
}

void serve_drain(struct worker *worker, struct ring *ring)
{
	complete_due(worker, ring, HELD_FOREVER - 1);
}

/* ---- one request -------------------------------------------------------- */

static void count_operation(struct statistics *statistics,
			    const struct operation *what)
{
	statistics->requests[what->kind]++;
	statistics->errors += what->failed;
	if (what->failed)
		return;
	if (what->kind == OPERATION_READ)
		statistics->bytes_read += what->data_bytes;
	else if (what->kind == OPERATION_WRITE)
		statistics->bytes_written += what->data_bytes;
}

/* The deadline of a request; 0: it completes at once. */
static uint64_t deadline_of(struct worker *worker, struct served_ring *served,
			    const struct batch *batch,
			    const struct fault_effects *effects)
{
	uint64_t ns;

	if (unlikely(effects->actions &
		     (FAULT_BIT(FAULT_LOSE) | FAULT_BIT(FAULT_DIE))))
		return HELD_FOREVER;
	/* Requests of a disk have latency; control requests have none. */
	if (likely(!batch->arrival_ns) ||
	    served->ring->index < worker->all->device->ops->first_request_queue)
		return 0;
	ns = latency_next_ns(worker->all->latency, batch->arrival_ns,
			     &served->latency_cursor) +
	     effects->delay_ns;
	return ns ? batch->arrival_ns + ns : 0;
}

static void carry_out(struct worker *worker, struct served_ring *served,
		      const struct fault_effects *effects, struct operation *what)
{
	const struct device_ops *ops = worker->all->device->ops;
	enum answer answer = ANSWER_USUAL;

	if (unlikely(effects->actions))
		answer = effects_answer(effects->actions);
	if (unlikely(answer != ANSWER_USUAL))
		ops->answer(served->session, served->ring, &worker->chain, answer,
			    what);
	else {
		what->later = postponed_offer(&worker->postponed);
		ops->serve(served->session, served->ring, &worker->chain, what);
	}
}

/* Others carry the request out, and it completes in serve_postponed(). */
static void postpone(struct worker *worker, struct served_ring *served,
		     const struct held *done, const struct operation *what)
{
	int result = postponed_add(&worker->postponed, served->ring,
				   served->session, done, what);

	worker->statistics.postponed++;
	if (result)
		ring_break(served->ring, "bad descriptor chain", result);
}

static void serve_request(struct worker *worker, struct served_ring *served,
			  uint16_t head, struct batch *batch)
{
	struct ring *ring = served->ring;
	struct fault_effects effects = { 0 };
	struct operation what = { 0 };
	struct held done = { .head = head };

	if (unlikely(worker->all->faults->on_requests))
		effects = effects_find(worker, served, &what);
	done.faults = effects.actions;
	done.jump = effects.jump;
	done.deadline_ns = deadline_of(worker, served, batch, &effects);
	if (likely(done.deadline_ns != HELD_FOREVER)) {
		carry_out(worker, served, &effects, &what);
		if (is_postponed(&what)) {
			postpone(worker, served, &done, &what);
			return;
		}
		count_operation(&worker->statistics, &what);
		batch->moved_bytes += what.data_bytes;
		done.used_bytes = what.used_bytes;
	}
	done.tag = what.tag;
	done.lun = what.lun;
	if (likely(!done.deadline_ns))
		complete(ring, &done, batch);
	else
		held_push(&ring->held, &done);
}

/* ---- postponed requests -------------------------------------------------- */

/* The kernel has only moved the data of the request. */
static int finish_transfer(struct worker *worker,
			   struct postponed_request *request)
{
	int result = ring_load(request->ring, request->done.head,
			       &worker->chain);

	if (!result)
		worker->all->device->ops->finish(request->session,
						 &worker->chain,
						 request->result,
						 &request->what);
	return result;
}

static void complete_postponed(struct worker *worker,
			       struct postponed_request *request,
			       struct batch *batch)
{
	struct held *done = &request->done;
	int result = request->is_transfer ? finish_transfer(worker, request) : 0;

	if (result) {
		ring_break(request->ring, "bad descriptor chain", result);
		return;
	}
	count_operation(&worker->statistics, &request->what);
	done->used_bytes = request->what.used_bytes;
	done->tag = request->what.tag;
	done->lun = request->what.lun;
	if (done->deadline_ns)
		held_push(&request->ring->held, done);
	else
		complete(request->ring, done, batch);
}

unsigned int serve_postponed(struct worker *worker)
{
	struct postponed_request *request;
	struct ring *ring = NULL;
	struct batch batch = { 0 };
	unsigned int count = 0;

	while ((request = postponed_take(&worker->postponed))) {
		if (ring && ring != request->ring) {
			publish(worker, ring, batch.faults);
			batch.faults = 0;
		}
		ring = request->ring;
		if (!ring->broken)
			complete_postponed(worker, request, &batch);
		postponed_release(&worker->postponed, request);
		count++;
	}
	if (count)
		publish(worker, ring, batch.faults);
	return count;
}

void serve_all_postponed(struct worker *worker)
{
	serve_postponed(worker);
	while (worker->postponed.count) {
		postponed_wait(&worker->postponed);
		serve_postponed(worker);
	}
}

/* ---- one ring ----------------------------------------------------------- */

/* Handles a chain that cannot be read. Returns 0 if the profile completes such
 * a request, or else `result`, and the ring is broken. */
static int serve_bad_chain(struct worker *worker, struct ring *ring,
			   uint16_t head, int result)
{
	worker->statistics.errors++;
	if (worker->all->device->profile->completes_bad_chains) {
		ring_put(ring, head, 0);
		return 0;
	}
	ring_break(ring, "bad descriptor chain", result);
	return result;
}

static bool needs_clock(const struct workers *all)
{
	return !latency_is_none(all->latency) || all->faults->on_requests;
}

/* Requests that were offered together have the same time of arrival, even if
 * several batches are needed to take them. */
static void stamp_arrival(struct served_ring *served, uint16_t offered_before)
{
	const struct ring *ring = served->ring;

	if (ring->offered_index != offered_before || !served->arrival_ns)
		served->arrival_ns = now_ns();
}

/* Publishes in the middle of a batch. Returns whether the ring's turn is over. */
static bool publish_early(struct worker *worker, struct ring *ring,
			  struct batch *batch)
{
	publish(worker, ring, batch->faults);
	batch->turn_bytes += batch->moved_bytes;
	batch->moved_bytes = 0;
	batch->faults = 0;
	return batch->turn_bytes >= TURN_BYTES;
}

/* Returns how many were served. The others will be taken again. */
static unsigned int serve_batch(struct worker *worker,
				struct served_ring *served,
				const uint16_t *heads, unsigned int count)
{
	const uint64_t publish_bytes = worker->all->publish_bytes;
	struct ring *ring = served->ring;
	struct batch batch = { 0 };
	unsigned int i;

	/* Task management knows held requests only. */
	if (unlikely(worker->postponed.count) &&
	    ring->index < worker->all->device->ops->first_request_queue)
		serve_all_postponed(worker);
	if (unlikely(needs_clock(worker->all)))
		batch.arrival_ns = served->arrival_ns;
	for (i = 0; i < count && i < PREFETCH_AHEAD; i++)
		ring_prefetch(ring, heads[i]);
	for (i = 0; i < count; i++) {
		int result = ring_load(ring, heads[i], &worker->chain);

		if (i + PREFETCH_AHEAD < count)
			ring_prefetch(ring, heads[i + PREFETCH_AHEAD]);
		if (likely(!result))
			serve_request(worker, served, heads[i], &batch);
		else if (serve_bad_chain(worker, ring, heads[i], result))
			break;
		if (batch.moved_bytes >= publish_bytes &&
		    publish_early(worker, ring, &batch)) {
			ring_untake(ring, count - i - 1);
			return i + 1;
		}
	}
	publish(worker, ring, batch.faults);
	return count;
}

/* A dormant ring is served only after a kick. */
static bool wake_up(struct ring *ring)
{
	if (!ring_take_kick(ring))
		return false;
	ring->dormant = false;
	return true;
}

/* Takes and serves one batch. Returns the number of its requests. */
static unsigned int serve_offered(struct worker *worker,
				  struct served_ring *served)
{
	struct ring *ring = served->ring;
	uint16_t offered_before = ring->offered_index;
	uint16_t heads[TAKE_MAX];
	int count = ring_take(ring, heads, TAKE_MAX);

	if (likely(!count))
		return 0;
	if (unlikely(count < 0)) {
		ring_break(ring, "bad avail ring", count);
		return 0;
	}
	worker->statistics.batches++;
	if (unlikely(ring->trace != NULL))
		trace_taken(ring->trace, ring, heads, count);
	if (unlikely(needs_clock(worker->all)))
		stamp_arrival(served, offered_before);
	return serve_batch(worker, served, heads, count);
}

/* While requests are held, all offered requests are taken before one completes,
 * because the last of them may be due first. The loop ends early if the turn of
 * the ring ends, which a batch that is not full shows. */
static unsigned int serve_held(struct worker *worker,
			       struct served_ring *served)
{
	struct ring *ring = served->ring;
	unsigned int count = 0, more = TAKE_MAX;

	while (more == TAKE_MAX && count < ring->size && !ring->broken &&
	       ring->taken_index != ring->offered_index) {
		more = serve_offered(worker, served);
		count += more;
	}
	if (held_first_deadline_ns(&ring->held) != HELD_FOREVER)
		count += complete_due(worker, ring, now_ns());
	return count;
}

unsigned int serve_ring(struct worker *worker, struct served_ring *served)
{
	struct ring *ring = served->ring;
	unsigned int count;

	if (unlikely(ring->dormant && !wake_up(ring)))
		return 0;
	count = serve_offered(worker, served);
	if (unlikely(ring->held.count) && !ring->broken)
		count += serve_held(worker, served);
	return count;
}
