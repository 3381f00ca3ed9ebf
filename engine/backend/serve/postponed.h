/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests of one worker that would make it wait, because their data is in a file. The
 * kernel (storage/uring.h) or helpers (helpers.h) carry them out, in any order, and the
 * worker completes them.
 *
 * All functions are the worker's. A helper enters only the list of the requests that are
 * done, under `lock`. While others carry requests out, their rings, sessions and memory
 * must not change, so a worker is parked only when none is left.
 */
#ifndef BACKEND_POSTPONED_H
#define BACKEND_POSTPONED_H

#include <pthread.h>
#include <stdbool.h>

#include "device/device.h"
#include "ring/ring.h"
#include "serve/helpers.h"

struct uring;

/* How files are served. */
enum aio_kind {
	AIO_OFF,     /* the worker waits for each access */
	AIO_THREADS, /* helpers wait */
	AIO_URING,   /* the kernel carries out reads and writes, and helpers the rest */
	AIO_AUTO,    /* AIO_URING if it is possible, otherwise AIO_THREADS */
};

struct postponed_request {
	struct job job; /* first; of the helper that carries it out */
	struct postponed_request *next; /* in one of the lists */
	struct postponed_set *set;
	struct ring *ring;
	struct session *session;
	struct held done; /* how it will complete */
	struct operation what;
	bool is_transfer; /* the kernel has moved the data, and the device has to finish it */
	int result; /* of the transfer: 0 or a negative errno */
	uint64_t offset; /* of the transfer */
	size_t bytes;
	struct chain chain;
};

struct postponed_set {
	struct postponed_request *free; /* NULL: none, or nothing is postponed here */
	unsigned int count; /* requests that are not back yet */
	unsigned int with_helpers; /* of these */
	struct helpers *helpers;
	struct storage *storage;
	struct uring *uring; /* NULL: helpers carry everything out */
	bool uring_failed; /* it takes nothing more, so helpers carry the rest out */
	int wake_fd; /* of the worker */
	struct postponed later; /* of the request that is served now */
	void *mapping; /* of the requests */

	/* Helpers write these. */
	pthread_mutex_t lock;
	struct postponed_request *done; /* atomic */
	bool is_sleeping; /* the worker wants to be woken */
};

/* Before the worker starts. `kind` is not AIO_OFF. Returns 0 or a negative errno. */
int postponed_open(struct postponed_set *set, struct storage *storage,
		   struct helpers *helpers, enum aio_kind kind, int wake_fd);
/* No request is left. Does nothing if it was not opened. */
void postponed_close(struct postponed_set *set);
/* off, threads or io_uring. While the workers are parked. */
const char *postponed_way(const struct postponed_set *set);
/* Can be read when the kernel has carried a request out. -1: there is no io_uring. */
int postponed_fd(const struct postponed_set *set);

/* For operation.later of a request that is about to be served. NULL: it must wait. */
static inline struct postponed *postponed_offer(struct postponed_set *set)
{
	if (likely(!set->free))
		return NULL;
	set->later.is_set = false;
	return &set->later;
}

/* Gives the request that was postponed to others. Returns 0, or a negative errno of
 * ring_load(). */
int postponed_add(struct postponed_set *set, struct ring *ring,
		  struct session *session, const struct held *done,
		  const struct operation *what);
/* The kernel begins with the requests that were added. Called after each round. Returns
 * false if it could not take all of them yet. If it refuses them for ever, helpers get
 * them, and all later ones. */
bool postponed_submit(struct postponed_set *set);
/* The next request that is done, in any order, or NULL. Then postponed_release(). */
struct postponed_request *postponed_take(struct postponed_set *set);
void postponed_release(struct postponed_set *set,
		       struct postponed_request *request);

/* Before the worker sleeps: helpers will wake it. Returns whether it must not sleep. */
bool postponed_sleep(struct postponed_set *set);
void postponed_awake(struct postponed_set *set);
/* Sleeps until a request is done. */
void postponed_wait(struct postponed_set *set);

#endif
