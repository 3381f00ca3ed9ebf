/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads that serve rings, and how the control thread parks them.
 *
 * Everything that a worker reads on the request path (rings, memory tables,
 * sessions, faults, disk sizes) is changed by the control thread alone, and
 * only between workers_pause() and workers_resume(): so the request path needs
 * no lock, and pays one relaxed load a round for it.
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
#include "serve/statistics.h"

enum serve_mode {
	SERVE_POLL,	/* looks again and again: a core spent */
	SERVE_EVENT,	/* sleeps until kicked */
	SERVE_ADAPTIVE, /* looks for a while after work, then sleeps */
};

/* A ring in a worker's care. */
struct served_ring {
	struct ring *ring;
	struct session *session;
	size_t latency_cursor;
	uint64_t arrival_ns; /* when the requests up to offered_index were seen */
};

struct worker {
	pthread_t thread;
	struct workers *all;
	int cpu;	/* -1: any */
	int epoll_fd, wake_fd, timer_fd;
	uint64_t armed_ns; /* what the timer is set to; 0: not */
	uint64_t idle_since_ns; /* adaptive; 0: was busy */
	struct served_ring *rings;
	unsigned int ring_count, ring_room;
	struct statistics statistics;
	struct chain chain; /* scratch for the request in hand */
};

struct workers {
	struct worker *list;
	unsigned int count;
	enum serve_mode mode;
	struct device *device;
	const struct latency *latency;
	struct fault_set *faults;
	int log_fd;
	unsigned int publish_bytes; /* publish after so much data was moved */

	/* Workers tell the control thread: a fault has come due. */
	int alarm_fd;
	bool die_wanted;	/* atomic */
	uint64_t shrink_wanted; /* atomic; bytes, 0: no */

	/* The control thread tells the workers; under the lock but for the
	 * relaxed look of each round. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool pause_wanted;
	bool stop_wanted;
	unsigned int parked;
};

/* Starts `count` workers, each on one of the CPUs in turn (NULL: on any). The
 * fields up to log_fd are set by the caller. */
int workers_start(struct workers *workers, unsigned int count,
		  const int *cpus, unsigned int cpu_count);
void workers_stop(struct workers *workers);

/* Control thread: waits until no worker touches anything. */
void workers_pause(struct workers *workers);
void workers_resume(struct workers *workers);

/* While paused: gives a running ring to a worker. */
int worker_add_ring(struct worker *worker, struct ring *ring,
		    struct session *session);
/* While paused, or by the worker itself: takes the ring away, if it is there. */
void worker_remove_ring(struct worker *worker, struct ring *ring);

/* serve/serve.c: requests. */

/* Serves what a ring has, and completes what is due. Returns how many requests
 * were taken or completed. */
unsigned int serve_ring(struct worker *worker, struct served_ring *served);
/* Completes all that a ring holds, in the order of the deadlines, but for what
 * is never to complete. While paused. */
void serve_drain(struct worker *worker, struct ring *ring);

/* The clock of deadlines. */
uint64_t now_ns(void);

#endif
