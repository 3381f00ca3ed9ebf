/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parks the workers, so that the control thread can change or read what is theirs. A
 * worker enters worker_park(), and the control thread the rest.
 */
#include <errno.h>
#include <unistd.h>

#include "serve/worker.h"

void worker_wake(struct worker *worker)
{
	const uint64_t one = 1;

	while (write(worker->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* The reason cannot change before this worker is parked. */
void worker_park(struct worker *worker)
{
	struct workers *workers = worker->all;

	if (shared_read(&workers->pause_wanted) == PAUSE_TO_CHANGE)
		serve_all_postponed(worker);
	pthread_mutex_lock(&workers->lock);
	workers->parked++;
	pthread_cond_broadcast(&workers->changed);
	while (workers->pause_wanted != PAUSE_NONE)
		pthread_cond_wait(&workers->changed, &workers->lock);
	workers->parked--;
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
}

static void pause_for(struct workers *workers, enum pause reason)
{
	unsigned int i;

	pthread_mutex_lock(&workers->lock);
	/* A worker that has not left the last pause yet would count twice. */
	while (workers->parked)
		pthread_cond_wait(&workers->changed, &workers->lock);
	shared_write(&workers->pause_wanted, reason);
	for (i = 0; i < workers->count; i++)
		worker_wake(&workers->list[i]);
	while (workers->parked < workers->count)
		pthread_cond_wait(&workers->changed, &workers->lock);
	pthread_mutex_unlock(&workers->lock);
}

void workers_pause(struct workers *workers)
{
	pause_for(workers, PAUSE_TO_CHANGE);
}

void workers_pause_to_look(struct workers *workers)
{
	pause_for(workers, PAUSE_TO_LOOK);
}

void workers_resume(struct workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	shared_write(&workers->pause_wanted, PAUSE_NONE);
	pthread_cond_broadcast(&workers->changed);
	pthread_mutex_unlock(&workers->lock);
}
