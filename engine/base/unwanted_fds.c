/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See base/unwanted_fds.h. The threads that close use no data of ours. */
#include "base/unwanted_fds.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many closes may wait at the same time. Further file descriptors stay open, which
 * only a back-end that does harm on purpose brings about. */
#define MOST_THREADS 32

struct batch {
	unsigned int count;
	int fds[UNWANTED_FDS_MAX];
};

static unsigned int num_threads; /* atomic */

static void *close_all(void *argument)
{
	struct batch *batch = argument;

	for (unsigned int i = 0; i < batch->count; i++)
		close(batch->fds[i]);
	free(batch);
	__atomic_fetch_sub(&num_threads, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* Signals are for the program's own threads. */
static bool start_thread(struct batch *batch)
{
	sigset_t every, before;
	pthread_attr_t detached;
	pthread_t thread;
	int code;

	sigfillset(&every);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	code = pthread_create(&thread, &detached, close_all, batch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&detached);
	return !code;
}

void unwanted_fds_close(const int *fds, unsigned int count)
{
	struct batch *batch;

	if (!count)
		return;
	batch = malloc(sizeof(*batch));
	if (!batch)
		return;
	batch->count = count;
	memcpy(batch->fds, fds, count * sizeof(*fds));
	if (__atomic_add_fetch(&num_threads, 1, __ATOMIC_RELAXED) <= MOST_THREADS &&
	    start_thread(batch))
		return;
	__atomic_fetch_sub(&num_threads, 1, __ATOMIC_RELAXED);
	free(batch);
}
