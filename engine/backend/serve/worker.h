/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads that serve rings, and how the control thread parks them.
 *
 * Only the control thread changes what a worker reads on the request path
 * (rings, memory regions, sessions, faults, disk sizes), and only between
 * workers_pause() and workers_resume(). So the request path needs no lock; it
 * costs one relaxed load for each round.
 */
#ifndef BACKEND_WORKER_H
#define BACKEND_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"
#include "serve/fault.h"
#include "serve/latency.h"
#include "ring/ring.h"
#include "serve/postponed.h"
#include "serve/statistics.h"

enum serve_mode {
	SERVE_POLL,	/* polls all the time and keeps a CPU busy */
	SERVE_EVENT,	/* sleeps until a kick */
	SERVE_ADAPTIVE, /* polls for a while after work, then sleeps */
};

/* Why the control thread parks the workers. */
enum pause {
	PAUSE_NONE,
	PAUSE_TO_LOOK, /* requests may stay with helpers and with the kernel */
	PAUSE_TO_CHANGE, /* no request is postponed any more */
};

/* A ring that a worker serves. */
struct served_ring {
	struct ring *ring;
	struct session *session;
	size_t latency_cursor;
	uint64_t arrival_ns; /* of the requests up to ring->offered_index */
};

struct worker {
	pthread_t thread;
	struct workers *all;
	int cpu;	/* -1: any */
	int epoll_fd, wake_fd, timer_fd;
	uint64_t armed_ns; /* the time of the timer; 0: it is not set */
	uint64_t idle_since_ns; /* SERVE_ADAPTIVE; 0: it was busy */
	struct served_ring *rings;
	unsigned int ring_count, ring_room;
	struct statistics statistics;
	struct postponed_set postponed;
	struct chain chain; /* of the current request */
};

struct workers {
	struct worker *list;
	unsigned int count;
	enum serve_mode mode;
	struct device *device;
	const struct latency *latency;
	struct fault_set *faults;
	int log_fd;
	unsigned int publish_bytes; /* publish after moving so much data */
	enum aio_kind aio;
	struct helpers helpers; /* if aio is not AIO_OFF */
	const char *trace_path;	    /* file for the times of requests; NULL: none are taken */
	unsigned int trace_every;   /* of one request in so many */

	/* Workers ask the control thread for the faults "die" and "shrink". */
	int alarm_fd;
	bool die_wanted;	/* atomic */
	uint64_t shrink_wanted; /* atomic; bytes of the disk; 0: none */

	/* The control thread asks the workers. These are under the lock, but
	 * workers read the first two without it once in each round. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum pause pause_wanted;
	bool stop_wanted;
	unsigned int parked;
};

/* Starts `count` workers. They are put on `cpus` in turn, or on any CPU if
 * `cpu_count` is 0. The caller sets the fields from mode to aio, and alarm_fd before the
 * first ring. */
int workers_start(struct workers *workers, unsigned int count,
		  const int *cpus, unsigned int cpu_count);
void workers_stop(struct workers *workers);

/* parking.c */

/* The worker: waits until the pause that is wanted is over. */
void worker_park(struct worker *worker);
/* Any thread: the worker does not sleep in its next round. */
void worker_wake(struct worker *worker);
/* Control thread: returns when all workers are parked, and no request is postponed. */
void workers_pause(struct workers *workers);
/* The same, but requests may still be carried out. So only what workers alone write may be
 * read, and nothing may be changed. */
void workers_pause_to_look(struct workers *workers);
void workers_resume(struct workers *workers);

/* While the workers are parked: gives a running ring to a worker. Returns 0 or
 * a negative errno. */
int worker_add_ring(struct worker *worker, struct ring *ring,
		    struct session *session);
/* While the workers are parked, or in the worker itself: takes a ring away, if
 * the worker has it. */
void worker_remove_ring(struct worker *worker, struct ring *ring);

/* serve.c: requests. */

/* Serves requests of a ring, and completes held requests that are due. Returns
 * how many requests were taken or completed. */
unsigned int serve_ring(struct worker *worker, struct served_ring *served);
/* While the workers are parked: completes the held requests of a ring in the
 * order of their deadlines, except those that never complete. */
void serve_drain(struct worker *worker, struct ring *ring);

/* Completes the postponed requests that are done. Returns their number. */
unsigned int serve_postponed(struct worker *worker);
/* Waits until no request is postponed. */
void serve_all_postponed(struct worker *worker);

/* The time of deadlines: CLOCK_MONOTONIC. */
uint64_t now_ns(void);

#endif
