/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that carry out what would make a worker wait.
 *
 * Any worker gives jobs to them. They are started when there are more jobs than threads
 * without one, and remain until the end. They know neither requests nor workers.
 */
#ifndef BACKEND_HELPERS_H
#define BACKEND_HELPERS_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

/* So many jobs are carried out at the same time. qemu-storage-daemon has as many. */
enum { HELPERS_MAX = 64 };

struct job {
	struct job *next;
	/* A helper calls it once, and does not touch the job afterwards. */
	void (*run)(struct job *job);
};

struct helpers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t threads[HELPERS_MAX];
	unsigned int count, idle, waiting; /* threads, those without a job, jobs */
	struct job *first, *last;
	bool stopping;
	/* A worker may be bound to one CPU and poll there; helpers are not. */
	cpu_set_t cpus;
};

/* Starts the first thread. Returns 0 or a negative errno. */
int helpers_start(struct helpers *helpers);
/* There is no job any more. Does nothing if they were not started. */
void helpers_stop(struct helpers *helpers);
void helpers_give(struct helpers *helpers, struct job *job);

#endif
