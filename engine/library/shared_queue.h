/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request queue that many threads use. It carries out transfers step by step.
 *
 * Only one thread at a time holds a transfer: first the thread that begins it. Then
 * the device has it, until a thread finds its request done (see library/poller.h);
 * this thread sends the next step or finishes the transfer.
 *
 * The lock is held only to submit, to reap, and for the lists of library/async.h. Copying,
 * waking a thread in a call, and the kick for a new step happen after it is released. But
 * if a request has further parts, queue_reap() sends the next one and kicks for it with
 * the lock held.
 *
 * No transfer waits for ever: when the back-end hangs up and does not come back in time,
 * every transfer fails with EIO, and a transfer that takes too long can be cancelled.
 */
#ifndef SHARED_QUEUE_H
#define SHARED_QUEUE_H

#include "device/device.h"
#include "library/claims.h"
#include "library/transfer.h"

struct shared_queue {
	struct device *dev;
	struct queue *queue;
	struct shared_queue *siblings; /* all queues of the device, with this one */
	unsigned int num_siblings;
	struct claims *claims;         /* of the device */
	char *slots;                   /* the bounce buffers, one for each chain */
	uint64_t slot_bytes;           /* of each */
	struct poller poller;
	struct pollfd fds[2];          /* the poller's */
	uint64_t timeout_ns;           /* of a transfer; constant after device_attach() */
	pthread_mutex_t lock;          /* guards queue, backlog, and each async of the queue */
	struct transfer_list backlog;  /* transfers that wait for a chain */
	bool is_asking;                /* the poller waits for a call; atomic; set with the
					* lock held */
	unsigned int num_in_flight;    /* atomic; set with the lock held */
	bool is_away;                  /* the back-end has hung up, and may come back */
	uint64_t no_deadline_before_ns; /* atomic; see shared_queue_deadline_ns() */
	bool is_abandoned;             /* atomic; set with the lock held */
	char reason[256];              /* why; constant once is_abandoned is set */
	pthread_mutex_t spares_lock;   /* guards spares */
	struct transfer_list spares;   /* see library/spares.h */
};

int shared_queue_open(struct shared_queue *sq, struct device *dev,
		      struct claims *claims, char *slots, uint64_t slot_bytes);
/* Frees the transfers that the device still has, except those that hold memory. No
 * thread may be waiting for them. */
void shared_queue_close(struct shared_queue *sq);
/* Chooses the way of waiting, and the time that a back-end may take for each step of a
 * transfer. Called once, before the first transfer. */
void shared_queue_set_wait(struct shared_queue *sq, enum wait_kind kind,
			   unsigned int sleepy_poll_us, uint64_t timeout_ns);

/* Begins t, which was prepared, on the queue t->sq. When it is done or has failed, a thread calls
 * t->finished() with no lock held. This thread may do so before the call returns. */
void shared_queue_begin(struct transfer *t);

/* When t has used up its time. While the back-end is away no time is used up, and after
 * that t has the whole of its time again. */
uint64_t shared_queue_deadline_ns(const struct transfer *t);

/* What happens to a transfer that was cancelled. */
enum cancelled {
	CANCELLED_NOW,   /* the queue owns and frees it; finished() is not called */
	CANCELLED_SOON,  /* finished() is called soon: the transfer completes, or
			  * fails with ETIMEDOUT */
	CANCELLED_LATER, /* finished() is called when the back-end has given back
			  * the program's memory */
};

/* Cancels t; the calling thread's sentence is the reason. May be called again. With
 * leaves_memory the result is never CANCELLED_LATER: if the back-end has memory of
 * the program, t holds it, so that it is not allocated again before the back-end has
 * given it back (see memory_hold()). The lock is held; the caller then passes work to
 * carry_work(), with no lock held. */
enum cancelled shared_queue_cancel(struct transfer *t, bool leaves_memory,
				   struct transfer_list *work);

/* Ends all transfers in flight with ECANCELED. Later ones fail in the same way. Any
 * thread. */
void shared_queue_shutdown(struct shared_queue *sq);

#endif
