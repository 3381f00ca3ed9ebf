/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker threads: their loop, and how they sleep.
 *
 * In each round a worker serves all its rings; the serve mode decides only what
 * it does when a round found no request. Kick fds are watched edge-triggered
 * and are not read. Each write to an eventfd is an edge, so a kick costs no
 * other system call than the one that waits.
 */
#include "serve/worker.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/caller.h"
#include "base/error.h"
#include "serve/gather.h"

enum {
	/* How long an adaptive worker polls after it had work. */
	ADAPTIVE_WINDOW_NS = 50000,
	/* About 0.5 us; see serve/gather.h. */
	GATHER_RELAXES = 32,
	EVENTS_MAX = 64,
};

/* epoll reports these addresses, and for kicks the address of the ring. */
static char wake_mark, timer_mark, uring_mark;

/* ---- sleeping ----------------------------------------------------------- */

static uint64_t first_deadline_ns(const struct worker *worker)
{
	uint64_t first = HELD_FOREVER;
	unsigned int i;

	for (i = 0; i < worker->ring_count; i++) {
		uint64_t ns =
			held_first_deadline_ns(&worker->rings[i].ring->held);

		if (ns < first)
			first = ns;
	}
	return first;
}

static void arm_timer(struct worker *worker)
{
	uint64_t ns = first_deadline_ns(worker);
	struct itimerspec when = { 0 };

	if (ns == HELD_FOREVER || ns == worker->armed_ns)
		return;
	when.it_value.tv_sec = ns / 1000000000;
	when.it_value.tv_nsec = ns % 1000000000;
	timerfd_settime(worker->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	worker->armed_ns = ns;
}

/* A ring without a kick fd has to be polled. */
static bool has_polled_ring(const struct worker *worker)
{
	unsigned int i;

	for (i = 0; i < worker->ring_count; i++)
		if (worker->rings[i].ring->kick_fd < 0)
			return true;
	return false;
}

static bool may_sleep(struct worker *worker)
{
	uint64_t now;

	if (!worker->ring_count)
		return true;
	if (worker->all->mode == SERVE_POLL || has_polled_ring(worker))
		return false;
	if (worker->all->mode == SERVE_EVENT)
		return true;
	now = now_ns();
	if (!worker->idle_since_ns)
		worker->idle_since_ns = now;
	return now - worker->idle_since_ns >= ADAPTIVE_WINDOW_NS &&
	       first_deadline_ns(worker) - now >= ADAPTIVE_WINDOW_NS;
}

/* Barrier C: asks for kicks, then returns whether there is work already. */
static bool ask_for_kicks(struct worker *worker)
{
	bool has_work = false;
	unsigned int i;

	for (i = 0; i < worker->ring_count; i++) {
		struct ring *ring = worker->rings[i].ring;

		if (ring->dormant)
			continue;
		ring_ask_kicks(ring);
		has_work |= ring_has_work(ring);
	}
	return has_work;
}

static void refuse_kicks(struct worker *worker)
{
	unsigned int i;

	for (i = 0; i < worker->ring_count; i++) {
		struct ring *ring = worker->rings[i].ring;

		if (!ring->dormant)
			ring_refuse_kicks(ring);
	}
}

static void take_events(struct worker *worker, const struct epoll_event *events,
			int count)
{
	uint64_t counter;
	int i;

	for (i = 0; i < count; i++) {
		if (events[i].data.ptr == &wake_mark) {
			if (read(worker->wake_fd, &counter, sizeof(counter)) < 0)
				continue;
		} else if (events[i].data.ptr == &timer_mark) {
			worker->armed_ns = 0;
		} else if (events[i].data.ptr != &uring_mark) {
			worker->statistics.kicks_taken++;
		}
	}
}

static void sleep_until_needed(struct worker *worker)
{
	struct epoll_event events[EVENTS_MAX];
	int count;

	arm_timer(worker);
	if (!ask_for_kicks(worker) && !postponed_sleep(&worker->postponed)) {
		worker->statistics.sleeps++;
		count = epoll_wait(worker->epoll_fd, events, EVENTS_MAX, -1);
		take_events(worker, events, count);
	}
	postponed_awake(&worker->postponed);
	refuse_kicks(worker);
	worker->idle_since_ns = 0;
}

/* ---- the loop ----------------------------------------------------------- */

/* A broken ring leaves its worker, because it is not served any more, but the
 * deadlines of its held requests would wake the worker repeatedly. */
static void remove_broken_ring(struct worker *worker, struct ring *ring)
{
	worker->statistics.broken_rings++;
	log_line(worker->all->log_fd,
		 "ring %u: %s (error %d), so it is no longer served",
		 ring->index, ring->reason, -ring->reason_code);
	worker_remove_ring(worker, ring);
}

static unsigned int serve_round(struct worker *worker)
{
	unsigned int count = 0, i = 0;

	while (i < worker->ring_count) {
		struct ring *ring = worker->rings[i].ring;

		/* It may also have broken in a pause, which finishes postponed requests. */
		if (likely(!ring->broken))
			count += serve_ring(worker, &worker->rings[i]);
		if (unlikely(ring->broken))
			remove_broken_ring(worker, ring);
		else
			i++;
	}
	if (unlikely(worker->postponed.count)) {
		postponed_submit(&worker->postponed);
		count += serve_postponed(worker);
	}
	worker->statistics.polls++;
	return count;
}

static void pause_to_gather(void)
{
	for (unsigned int i = 0; i < GATHER_RELAXES; i++)
		cpu_relax();
}

static void *worker_run(void *argument)
{
	struct worker *worker = argument;
	struct workers *all = worker->all;
	struct gather gather = { 0 };
	unsigned int count;

	while (!shared_read_acquire(&all->stop_wanted)) {
		/* There is a round between two pauses, so a client that sends
		 * many messages does not stop the others. */
		if (unlikely(shared_read(&all->pause_wanted) != PAUSE_NONE))
			worker_park(worker);
		count = serve_round(worker);
		if (gather_pauses(&gather, count) && all->mode != SERVE_EVENT)
			pause_to_gather();
		if (count) {
			worker->idle_since_ns = 0;
			continue;
		}
		worker->statistics.empty_polls++;
		if (may_sleep(worker))
			sleep_until_needed(worker);
		else if (worker->postponed.with_helpers)
			sched_yield(); /* a helper may need this CPU */
		else
			cpu_relax();
	}
	caller_end();
	return NULL;
}

/* ---- adding and removing rings ------------------------------------------ */

int worker_add_ring(struct worker *worker, struct ring *ring,
		    struct session *session)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET,
				     .data.ptr = ring };

	if (worker->ring_count == worker->ring_room) {
		unsigned int room = worker->ring_room ? 2 * worker->ring_room : 4;
		struct served_ring *grown =
			realloc(worker->rings, room * sizeof(*grown));

		if (!grown)
			return error_record(-ENOMEM, "no memory for a ring");
		worker->rings = grown;
		worker->ring_room = room;
	}
	if (ring->kick_fd >= 0 &&
	    epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, ring->kick_fd, &event))
		return error_record(-errno, "ring %u: kick fd: %s", ring->index,
				    strerror(errno));
	worker->rings[worker->ring_count++] =
		(struct served_ring){ .ring = ring, .session = session };
	if (ring->dormant)
		ring_ask_kicks(ring);
	else
		ring_refuse_kicks(ring);
	return 0;
}

void worker_remove_ring(struct worker *worker, struct ring *ring)
{
	unsigned int i;

	for (i = 0; i < worker->ring_count; i++) {
		if (worker->rings[i].ring != ring)
			continue;
		if (ring->kick_fd >= 0)
			epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL,
				  ring->kick_fd, NULL);
		worker->rings[i] = worker->rings[--worker->ring_count];
		return;
	}
}

/* ---- start and stop ----------------------------------------------------- */

static int watch(struct worker *worker, int fd, uint32_t events, void *mark)
{
	struct epoll_event event = { .events = events, .data.ptr = mark };

	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_aio(struct worker *worker)
{
	struct workers *all = worker->all;
	int fd, result;

	if (all->aio == AIO_OFF)
		return 0;
	result = postponed_open(&worker->postponed,
				all->device->disks[0].storage, &all->helpers,
				all->aio, worker->wake_fd);
	if (result)
		return result;
	fd = postponed_fd(&worker->postponed);
	if (fd >= 0 && watch(worker, fd, EPOLLIN, &uring_mark))
		return error_record(-errno, "worker: %s", strerror(errno));
	return 0;
}

static int worker_open(struct worker *worker)
{
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (worker->epoll_fd < 0 || worker->wake_fd < 0 ||
	    worker->timer_fd < 0 ||
	    watch(worker, worker->wake_fd, EPOLLIN, &wake_mark) ||
	    watch(worker, worker->timer_fd, EPOLLIN | EPOLLET, &timer_mark))
		return error_record(-errno, "worker: %s", strerror(errno));
	return open_aio(worker);
}

static void worker_close(struct worker *worker)
{
	postponed_close(&worker->postponed);
	if (worker->epoll_fd >= 0)
		close(worker->epoll_fd);
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
	if (worker->timer_fd >= 0)
		close(worker->timer_fd);
	free(worker->rings);
}

static int worker_launch(struct worker *worker)
{
	pthread_attr_t attributes;
	cpu_set_t cpus;
	int result;

	pthread_attr_init(&attributes);
	if (worker->cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET(worker->cpu, &cpus);
		pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	}
	result = pthread_create(&worker->thread, &attributes, worker_run,
				worker);
	pthread_attr_destroy(&attributes);
	if (result)
		return error_record(-result, "worker on CPU %d: %s",
				    worker->cpu, strerror(result));
	pthread_setname_np(worker->thread, "backend-worker");
	return 0;
}

int workers_start(struct workers *workers, unsigned int count,
		  const int *cpus, unsigned int cpu_count)
{
	int result;

	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->changed, NULL);
	workers->list = calloc(count, sizeof(*workers->list));
	if (!workers->list)
		return error_record(-ENOMEM, "no memory for %u workers", count);
	result = workers->aio == AIO_OFF ? 0 : helpers_start(&workers->helpers);
	if (result) {
		workers_stop(workers);
		return result;
	}
	for (workers->count = 0; workers->count < count;) {
		struct worker *worker = &workers->list[workers->count];

		worker->all = workers;
		worker->epoll_fd = worker->wake_fd = worker->timer_fd = -1;
		worker->cpu = cpu_count ? cpus[workers->count % cpu_count] : -1;
		result = worker_open(worker);
		if (!result)
			result = worker_launch(worker);
		if (result) {
			worker_close(worker);
			workers_stop(workers);
			return result;
		}
		workers->count++;
	}
	return 0;
}

void workers_stop(struct workers *workers)
{
	unsigned int i;

	shared_write_release(&workers->stop_wanted, true);
	for (i = 0; i < workers->count; i++) {
		worker_wake(&workers->list[i]);
		pthread_join(workers->list[i].thread, NULL);
		worker_close(&workers->list[i]);
	}
	helpers_stop(&workers->helpers);
	workers->count = 0;
	free(workers->list);
	workers->list = NULL;
	pthread_cond_destroy(&workers->changed);
	pthread_mutex_destroy(&workers->lock);
}
