/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request queue of a started device: requests in, requests out. Joins a
 * virtqueue, a command set and the two eventfds.
 *
 * One thread owns a queue and makes all calls; no lock, no allocation, and no
 * system call but a kick that the back-end wants. Does not wait.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include "base/counters.h"
#include "disk/request.h"

/* What one queue_reap() takes at most. */
#define QUEUE_REAP_AT_ONCE 64

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
	bool shares_cpu;           /* with the back-end, as a kick showed */
	uint64_t patient_since_ns; /* see queue_saves_kick(); 0: not */
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
/* Gives a finished or never submitted request back. */
void queue_put(struct queue *queue, struct request *req);

/* Hands req over; the back-end sees it after queue_commit(). 0, or a negative
 * errno with a sentence: req is then still the caller's to put back. */
int queue_submit(struct queue *queue, struct request *req);
/* Publishes what was submitted, and kicks if the back-end wants that. */
void queue_commit(struct queue *queue);
/* True while it is better to submit what else there is before queue_commit(): the
 * back-end shares our CPU and sleeps, so that each kick would let it run in our
 * stead, for what there is by then. Not for more than 100 us. */
bool queue_saves_kick(struct queue *queue);
/* The two halves of it. True if the back-end wants a kick; any thread may send
 * it, the owner or not. 0, or a negative errno with a sentence. */
bool queue_publish(struct queue *queue);
int queue_kick(const struct queue *queue);
/* Takes up to max finished requests; each has error set, and is the caller's
 * to put back. A used ring that cannot be abandons the queue. */
unsigned int queue_reap(struct queue *queue, struct request **done,
			unsigned int max);
/* Why req failed, as the calling thread's sentence, which is returned. For a
 * request that was reaped with an error and not yet put back. */
const char *queue_explain(struct queue *queue, const struct request *req);

/* From now on every request fails with code (a positive errno) and the calling
 * thread's sentence: those in flight at the next reap, later ones at submission.
 * Their chains stay out of use, since the back-end may still write to them. */
void queue_abandon(struct queue *queue, int code);

#endif
