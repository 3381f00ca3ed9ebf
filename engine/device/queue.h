/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request queue of a started device. It joins a virtqueue, a command set and the
 * two eventfds: callers submit requests and reap them when they are finished.
 *
 * One thread owns a queue and makes all calls. A queue takes no lock, allocates
 * nothing, never waits, and makes no system call except a kick that the back-end
 * wants. A request that a busy device did not accept is sent again by a later
 * queue_reap().
 */
#ifndef QUEUE_H
#define QUEUE_H

#include "base/counters.h"
#include "base/ticks.h"
#include "disk/request.h"

/* The most requests that one queue_reap() takes. */
#define QUEUE_REAP_AT_ONCE 64

/* How a part that was not carried out is sent again. */
struct retry {
	uint64_t since_ns;    /* when it first came back */
	uint64_t due_ns;      /* when it is sent again; 0: it is not waiting for that */
	unsigned int at_once; /* how often it was sent again without a pause */
	unsigned int later;   /* how often it was sent again after a pause */
};

struct queue {
	struct virtq vq;
	const struct disk *disk;
	const struct command_set *commands;
	struct request *requests;  /* one per chain */
	uint16_t *free_chains;     /* a stack */
	unsigned int num_free;
	unsigned int index;        /* of the virtqueue in the device */
	int kick_fd;
	int call_fd;
	bool shares_cpu;           /* with the back-end, as the last kick showed */
	bool times_kicks;          /* queue_commit() sets the two times */
	uint64_t kick_began, kick_ended; /* of the last kick, as ticks_now() tells */
	uint64_t patient_since_ns; /* when queue_saves_kick() was first true; 0: it was not */
	struct retry *retries;     /* one per chain */
	unsigned int num_waiting;  /* requests that wait to be sent again */
	uint64_t next_due_ns;      /* when the first of them is sent again */
	uint64_t retry_limit_ns;   /* how long a busy device is asked again; 0: no limit */
	unsigned int generation;   /* of the connection on which the ring runs */
	uint64_t oldest_at_start;  /* virtq_oldest() when it began to run there */
	uint64_t away_since_ns;    /* its connection was lost then; 0: it was not */
	uint64_t timeout_since_ns; /* reconnect_timeout counts from here */
	unsigned int returns;      /* how often the ring was started again since then */
	int abandoned;             /* 0, or the errno that all requests get */
	char reason[256];          /* the sentence that goes with it */
	struct queue_counters counters;
};

/* memory: zeroed shared memory of virtq_bytes(shape). */
int queue_init(struct queue *queue, const struct disk *disk,
	       const struct command_set *commands,
	       const struct virtq_shape *shape, void *memory);
void queue_close(struct queue *queue);

/* A request to fill in (type, buffer, offset_bytes, left_bytes, user), or
 * NULL while all are in use. */
struct request *queue_get(struct queue *queue);
/* Puts back a request that is finished or was never submitted. */
void queue_put(struct queue *queue, struct request *req);

/* The number of requests that were submitted and are not finished. */
static inline unsigned int queue_in_flight(const struct queue *queue)
{
	return queue->vq.in_flight + queue->num_waiting;
}

/* False if queue_reap() would find nothing. */
static inline bool queue_may_have_done(const struct queue *queue)
{
	return virtq_has_used(&queue->vq) || queue->num_waiting || queue->abandoned;
}

/* True while the request of that chain is one of them. */
bool queue_holds(const struct queue *queue, uint16_t chain);
/* The user of this request, or NULL if the chain has none that is to be reaped. A request
 * with an error was reaped, although the back-end may still have the chain. */
static inline void *queue_user_in_flight(const struct queue *queue, uint16_t chain)
{
	const struct request *req = &queue->requests[chain];

	return queue_holds(queue, chain) && !req->error ? req->user : NULL;
}
/* True if it is time for queue_reap() to send a request again. */
bool queue_is_due(const struct queue *queue);
/* From now on req, or every request in flight, is not sent again if it comes back
 * without having been carried out, but fails. */
void queue_end_retries_of(struct request *req);
void queue_end_retries(struct queue *queue);

/* Submits req; the back-end sees it after queue_commit(). 0, or a negative errno with
 * a sentence: the caller must then put req back. */
int queue_submit(struct queue *queue, struct request *req);
/* The same for a request of a type that the device offers, of whole blocks within it,
 * while the queue is not abandoned. Such a request is never refused. */
void queue_submit_checked(struct queue *queue, struct request *req);
/* Publishes the submitted requests, and kicks if the back-end wants a kick. */
void queue_commit(struct queue *queue);
/* True while the caller should submit further requests before queue_commit(). The
 * back-end shares our CPU and sleeps, so each kick would stop us and let it run for
 * the few requests that are published. Never true for more than 100 us. */
bool queue_saves_kick(struct queue *queue);
/* The two halves of queue_commit(). queue_publish() returns true if the back-end
 * wants a kick. Any thread may call queue_kick(): 0, or a negative errno with a
 * sentence. */
bool queue_publish(struct queue *queue);
int queue_kick(const struct queue *queue);

/* The same, by the thread that owns the queue; it sets kick_began and kick_ended. */
static inline int queue_kick_timed(struct queue *queue)
{
	int code;

	queue->kick_began = ticks_now();
	code = queue_kick(queue);
	queue->kick_ended = ticks_now();
	return code;
}

/* Takes up to max finished requests. Each has its error set, and the caller must put
 * it back. The queue is abandoned if the used ring is invalid. */
unsigned int queue_reap(struct queue *queue, struct request **done,
			unsigned int max);
/* Records and returns the sentence that says why req failed. req was reaped with an
 * error and is not yet put back. */
const char *queue_explain(struct queue *queue, const struct request *req);

/* After a back-end hung up, erases the answers of the requests in flight: it may have written
 * a response, but not the used element. */
void queue_unanswer(struct queue *queue);
/* The same, and prepares the ring for a back-end that knows nothing of it: the requests in
 * flight are published again, in their original order. */
void queue_rewind(struct queue *queue);
/* The same, for a queue that nobody uses: no request is in flight after it, and it is not
 * abandoned any more. */
void queue_renew(struct queue *queue);

/* Gives the queue up. From now on every request fails with code (a positive errno)
 * and the calling thread's sentence: those in flight at the next reap, later ones at
 * submission. The chains of those in flight are not used again, because the back-end
 * may still write to them. */
void queue_abandon(struct queue *queue, int code);

#endif
