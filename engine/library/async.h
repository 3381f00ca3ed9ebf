/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations that a program submits and collects later: the async_ calls of
 * api.h. An async uses one queue, and its threads wait together with the others
 * that wait for this queue.
 *
 * A submission is pending, then perhaps overdue (it was given up, but the back-end
 * still has memory of the program), then done until it is collected. While it is
 * pending, it may be held: then it has not begun, because of a barrier.
 *
 * Any thread may call. The lock of its queue guards an async, so that the thread that
 * finds requests done also makes their submissions done, and has one lock for both. The
 * thread that async_fd() starts waits like any other thread. The eventfd becomes readable
 * when a submission becomes done or overdue, whichever thread finds it.
 */
#ifndef ASYNC_H
#define ASYNC_H

#include "library/blocking.h"

enum submission_state {
	SUBMISSION_BEGUN,    /* pending, or done */
	SUBMISSION_HELD,     /* pending */
	SUBMISSION_OVERDUE,
	SUBMISSION_REPORTED, /* overdue; async_get_overdue() has returned it */
};

/* An operation from the time it is submitted until it is collected. */
struct submission {
	struct operation *op;
	enum submission_state state;
	unsigned int flags;           /* enum operation_flag, together */
	TAILQ_ENTRY(submission) link; /* pending or overdue */
	struct transfer transfer;     /* its context is the async */
	TAILQ_ENTRY(submission) held_link;
};

TAILQ_HEAD(submission_list, submission);

/* A thread that waits until min submissions are done, or until none is pending. */
struct async_waiter {
	struct waiter waiter;
	unsigned int min;
	bool waits_for_overdue; /* ... and none is overdue */
	bool is_ours;           /* the library's own wait: a shutdown does not end it */
	TAILQ_ENTRY(async_waiter) link;
};

/* When the thread behind the eventfd looks for completions. */
enum watch {
	WATCH_ALWAYS,
	WATCH_ONCE,   /* until the next submission becomes done or overdue */
	WATCH_PAUSED, /* until async_arm() */
};

struct async {
	struct shared_queue *sq;        /* its lock guards all members below */
	struct submission_list pending; /* in the order in which they were submitted */
	struct submission_list overdue;
	struct finished_list done;
	struct transfer *spares;        /* for later operations; linked by next */
	TAILQ_HEAD(, async_waiter) waiters;
	struct submission_list held; /* a part of the pending ones */
	unsigned int num_held;
	bool is_barrier_running;
	uint64_t held_until_ns;      /* none of the held ones times out before */
	unsigned int num_pending;
	unsigned int num_overdue;
	unsigned int num_done;
	uint64_t next_expiry_ns;     /* atomic: no pending submission has an earlier
	                              * deadline */
	int event_fd;                /* -1: async_fd() was not called */
	enum watch watch;
	bool is_shut;                /* the program can neither submit nor wait */
	bool is_closing;             /* tells the thread to end */
	pthread_cond_t has_work;     /* wakes the thread if something is pending or
	                              * overdue */
	pthread_t thread;            /* exists if event_fd does */
};

/* The transfers of an async are parts of submissions. */
static inline struct submission *async_submission(struct transfer *t)
{
	return (struct submission *)((char *)t - offsetof(struct submission, transfer));
}

static inline struct async *async_of(const struct submission *submission)
{
	return submission->transfer.context;
}

/* Why a submission failed or is overdue. */
static inline const char *async_sentence(const struct submission *submission)
{
	const struct transfer *t = &submission->transfer;
	const char *sentence = t->sentence ? t->sentence : t->why_cancelled;

	return sentence ? sentence : "";
}

/* ---- submissions.c ----------------------------------------------------------- */

/* The first five functions are called with the lock held. */

/* Wakes the threads whose wait is over, and makes the eventfd readable. */
void async_announce(struct async *async);
/* True if w does not need to wait any longer. */
bool async_is_satisfied(const struct async *async, const struct async_waiter *w);
/* Cancels a submission; the calling thread's sentence is the reason. The arguments
 * and the result are those of shared_queue_cancel(). After CANCELLED_NOW it is done. */
enum cancelled async_give_up(struct submission *submission, bool leaves_memory,
			     struct transfer_list *work);

/* Holds a pending submission if a barrier requires it, else begins its transfer. */
void async_begin(struct async *async, struct submission *submission,
		 struct transfer_list *work);
/* The finished() of a transfer: the submissions of its async are done. */
void async_finished(struct finished_list *done, struct transfer_list *work);
/* Cancels the submissions that have timed out, if there can be any. */
void async_expire(struct async *async);
/* When to call async_expire() again. */
static inline uint64_t async_next_expiry_ns(const struct async *async)
{
	return __atomic_load_n(&async->next_expiry_ns, __ATOMIC_RELAXED);
}
/* Returns -ECANCELED and records the sentence for calls after a shutdown. */
int async_refuse(const struct async *async);

/* ---- async_wait.c ----------------------------------------------------------- */

/* Waits until nothing is pending or overdue. A shutdown does not end this wait. */
void async_wait_for_all(struct async *async);

#endif
