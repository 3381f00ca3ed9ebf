/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request queue that many threads use: it carries transfers to the device
 * and back, step by step.
 *
 * A transfer is with one thread at a time: with the one that brought it, then
 * with the device, then with the one that finds it done (see library/poller.h), which
 * sends its next step or finishes it. The lock is held for the instants of
 * submitting and reaping; copying, kicking and waking happen outside it.
 *
 * Nothing waits for ever: when the back-end hangs up every transfer fails with
 * EIO, and one that takes too long can be cancelled.
 */
#ifndef SHARED_QUEUE_H
#define SHARED_QUEUE_H

#include "device/device.h"
#include "library/transfer.h"

struct shared_queue {
	struct device *dev;
	struct queue *queue;
	struct shared_queue *siblings; /* all queues of the device, this one too */
	unsigned int num_siblings;
	struct range_lock *ranges;     /* of the device */
	char *slots;                   /* bounce buffers, one a chain */
	uint64_t slot_bytes;           /* of each */
	struct poller poller;
	struct pollfd fds[2];          /* the poller's */
	pthread_mutex_t lock;          /* guards queue and backlog */
	struct transfer_list backlog;  /* waits for chains */
	bool needs_kick;               /* once the lock is given up */
	bool is_asking;                /* the poller waits for a call */
	unsigned int num_in_flight;    /* atomic; with the lock held it is set */
	bool is_abandoned;             /* atomic; with the lock held it is set */
	char reason[256];              /* why it is; constant from then on */
};

int shared_queue_open(struct shared_queue *sq, struct device *dev,
		      struct range_lock *ranges, char *slots, uint64_t slot_bytes);
/* Frees what is still with the device, but for what holds memory; nobody waits
 * for it any more. */
void shared_queue_close(struct shared_queue *sq);
/* Waiting begins: from now on polled in this way. */
void shared_queue_set_wait(struct shared_queue *sq, enum wait_kind kind,
			   unsigned int sleepy_poll_us);

/* Begins t, for t->sq. Once all of it is done, or has failed, some thread
 * calls t->finished(t), with no lock held: perhaps this one, at once. */
void shared_queue_begin(struct transfer *t);

/* What becomes of a transfer that was cancelled. */
enum cancelled {
	CANCELLED_NOW,   /* it is the queue's from now on; no finished() */
	CANCELLED_SOON,  /* finished() in a moment, with ETIMEDOUT at the worst */
	CANCELLED_LATER, /* finished() once the back-end has given back the memory
			  * of the program that it reads or writes */
};

/* Cancels t, any number of times; the calling thread's sentence is the reason.
 * leaves_memory: never LATER. The memory of the program that the back-end has is
 * then not allocated again before it has given it back (see memory_hold()). What
 * is in work afterwards is for carry_work(), with no lock held. */
enum cancelled shared_queue_cancel(struct transfer *t, bool leaves_memory,
				   struct transfer_list *work);

/* All that is in flight, and all that begins later, ends with ECANCELED. Any
 * thread. */
void shared_queue_shutdown(struct shared_queue *sq);

#endif
