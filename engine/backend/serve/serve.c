/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The request path: takes requests from a ring, has the device carry them out,
 * plays latency and faults, completes them.
 *
 * Entered by the worker whose ring it is. No allocation, no lock, and no
 * system call except a call that the client wants (and the clock, which is
 * none, when latency is played).
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "serve/worker.h"

enum {
	/* Requests taken in one look. */
	TAKE_MAX = 64,
	/* How far ahead of the request in hand memory is brought near. */
	PREFETCH_AHEAD = 4,
	/* Data moved for one ring before the others have their turn, and before
	 * the control thread is heard. */
	TURN_BYTES = 4 << 20,
};

/* What the requests of one look have in common. */
struct batch {
	uint64_t arrival_ns; /* 0: nobody needs it */
	uint64_t moved_bytes; /* since the last publishing */
	uint64_t turn_bytes;  /* before it */
	uint32_t faults; /* that touch the call */
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

/* ---- faults ------------------------------------------------------------- */

static void raise_alarm(struct workers *all, const struct verdict *verdict)
{
	const uint64_t one = 1;

	if (verdict->actions & FAULT_BIT(FAULT_DIE))
		shared_write(&all->die_wanted, true);
	if (verdict->actions & FAULT_BIT(FAULT_SHRINK))
		shared_write(&all->shrink_wanted, verdict->shrink_bytes);
	/* The counter of an eventfd is never full here. */
	if (write(all->alarm_fd, &one, sizeof(one)) < 0)
		log_line(all->log_fd, "fault: the alarm failed");
}

/* Decides which faults strike a request, of which it finds out `what` it is. */
static struct verdict judge(struct worker *worker,
			    const struct served_ring *served,
			    struct operation *what)
{
	struct workers *all = worker->all;
	struct verdict verdict;
	unsigned int i;

	all->device->ops->describe(served->session, &worker->chain, what);
	verdict = faults_judge_request(all->faults, what);
	if (likely(!verdict.actions))
		return verdict;
	for (i = 0; i < FAULT_ON_REQUESTS; i++)
		worker->statistics.faults[i] +=
			verdict.actions & FAULT_BIT(i) ? 1 : 0;
	if (verdict.actions & (FAULT_BIT(FAULT_DIE) | FAULT_BIT(FAULT_SHRINK)))
		raise_alarm(all, &verdict);
	return verdict;
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

/* When the request is to complete; 0: at once. */
static uint64_t deadline_of(struct worker *worker, struct served_ring *served,
			    const struct batch *batch,
			    const struct verdict *verdict)
{
	uint64_t ns;

	if (unlikely(verdict->actions &
		     (FAULT_BIT(FAULT_LOSE) | FAULT_BIT(FAULT_DIE))))
		return HELD_FOREVER;
	/* Latency is the disk's: control requests have none. */
	if (likely(!batch->arrival_ns) ||
	    served->ring->index < worker->all->device->ops->first_request_queue)
		return 0;
	ns = latency_next_ns(worker->all->latency, batch->arrival_ns,
			     &served->latency_cursor) +
	     verdict->delay_ns;
	return ns ? batch->arrival_ns + ns : 0;
}

static void carry_out(struct worker *worker, struct served_ring *served,
		      const struct verdict *verdict, struct operation *what)
{
	const struct device_ops *ops = worker->all->device->ops;

	if (unlikely(verdict->actions & FAULT_BIT(FAULT_ERROR)))
		ops->fail(served->session, &worker->chain, what);
	else
		ops->serve(served->session, served->ring, &worker->chain, what);
}

static void serve_request(struct worker *worker, struct served_ring *served,
			  uint16_t head, struct batch *batch)
{
	struct ring *ring = served->ring;
	struct verdict verdict = { 0 };
	struct operation what = { 0 };
	struct held done = { .head = head };

	if (unlikely(worker->all->faults->on_requests))
		verdict = judge(worker, served, &what);
	done.faults = verdict.actions;
	done.jump = verdict.jump;
	done.deadline_ns = deadline_of(worker, served, batch, &verdict);
	if (likely(done.deadline_ns != HELD_FOREVER)) {
		carry_out(worker, served, &verdict, &what);
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

/* ---- one ring ----------------------------------------------------------- */

/* A chain that cannot be read: 0 if the profile completes it regardless. */
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

/* Requests that were offered together are due from the same moment, also if it
 * takes several batches to take them. */
static void stamp_arrival(struct served_ring *served, uint16_t offered_before)
{
	const struct ring *ring = served->ring;

	if (ring->offered_index != offered_before || !served->arrival_ns)
		served->arrival_ns = now_ns();
}

/* Publishes once much data was moved. Whether the ring's turn is over. */
static bool publish_early(struct worker *worker, struct ring *ring,
			  struct batch *batch)
{
	publish(worker, ring, batch->faults);
	batch->turn_bytes += batch->moved_bytes;
	batch->moved_bytes = 0;
	batch->faults = 0;
	return batch->turn_bytes >= TURN_BYTES;
}

/* Returns how many were served. The rest was given back. */
static unsigned int serve_batch(struct worker *worker,
				struct served_ring *served,
				const uint16_t *heads, unsigned int count)
{
	const uint64_t publish_bytes = worker->all->publish_bytes;
	struct ring *ring = served->ring;
	struct batch batch = { 0 };
	unsigned int i;

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

/* A dormant ring is looked at once a kick came, not before. */
static bool wake_up(struct ring *ring)
{
	if (!ring_take_kick(ring))
		return false;
	ring->dormant = false;
	return true;
}

/* Takes and serves one batch; returns how many. */
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
	if (unlikely(needs_clock(worker->all)))
		stamp_arrival(served, offered_before);
	return serve_batch(worker, served, heads, count);
}

/* While requests are held, all that was offered is taken before any completes:
 * the last of them may be due first. Only the end of the ring's turn, when a
 * batch is not full, comes before that. */
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
