/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations that a program submits and collects later: the async_ calls of
 * api.h. An async keeps to one queue and joins those who wait for it.
 *
 * A flight is under way, then perhaps overdue (it was given up, but the back-end
 * still has memory of the program's), then done, until it is collected.
 *
 * Any thread calls. The lock of an async guards its lists; it is taken before
 * a queue's lock, never after one. The thread that async_fd() starts waits as
 * any other does; what it finds done makes the eventfd readable.
 */
#ifndef ASYNC_H
#define ASYNC_H

#include "library/blocking.h"

/* An operation from submission to collection. */
struct flight {
	struct async *async;
	struct operation *op;
	struct transfer *transfer; /* NULL once it is done */
	char *sentence;            /* why it failed or is overdue, or NULL */
	bool is_overdue;
	bool is_told;              /* by async_get_overdue() */
	TAILQ_ENTRY(flight) link;
};

TAILQ_HEAD(flight_list, flight);

/* A thread that waits until min flights are done, or none is under way. */
struct async_waiter {
	struct waiter waiter;
	unsigned int min;
	bool waits_for_overdue; /* and none is overdue either */
	bool is_ours;           /* it waits in spite of a shutdown */
	TAILQ_ENTRY(async_waiter) link;
};

struct async {
	struct shared_queue *sq;
	pthread_mutex_t lock;        /* guards all that follows */
	struct flight_list under_way; /* in the order of submission */
	struct flight_list overdue;
	struct flight_list done;
	TAILQ_HEAD(, async_waiter) waiters;
	unsigned int num_under_way;
	unsigned int num_overdue;
	unsigned int num_done;
	int event_fd;                /* -1: nobody asked for it */
	bool is_shut;                /* programs neither submit nor wait any more */
	bool is_closing;             /* the thread ends */
	pthread_cond_t has_work;     /* for the thread: something is under way */
	pthread_t thread;            /* runs if event_fd is there */
};

/* ---- flights.c: with the lock held, but for the last three ------------------ */

/* Wakes those whose wait is over, and the eventfd. */
void async_announce(struct async *async);
/* True if w need not wait (any more). */
bool async_is_satisfied(const struct async *async, const struct async_waiter *w);
/* Gives a flight up; the calling thread's sentence is the reason. What it becomes by
 * this: see shared_queue_cancel(). */
enum cancelled async_give_up(struct flight *flight, bool leaves_memory,
			     struct transfer_list *work);
/* A transfer's finished(): its flight is done. */
void async_finished(struct transfer *t);
/* Gives up the flights whose time is over. */
void async_expire(struct async *async);
/* -ECANCELED, with the sentence for calls after a shutdown. */
int async_refuse(const struct async *async);

/* ---- async_wait.c ----------------------------------------------------------- */

/* Waits until nothing is in flight any more, in spite of a shutdown. */
void async_wait_for_all(struct async *async);

#endif
