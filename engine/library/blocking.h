/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device as ordinary programs use it: attach and detach, and the calls that
 * wait, device_read() and its like (all declared in api.h).
 *
 * Any thread may call between attach and detach. Each keeps to one queue. The
 * carrying is library/shared_queue.h's, the waiting library/poller.h's.
 */
#ifndef BLOCKING_H
#define BLOCKING_H

#include "library/shared_queue.h"

/* What an attached device has beside the rest. */
struct blocking {
	struct range_lock ranges;
	char *slots;              /* bounce buffers of all queues */
	uint64_t timeout_ns;      /* of a step */
	unsigned int num_queues;
	unsigned int next_queue;  /* atomic */
	struct shared_queue queues[];
};

/* Queues in turn, for who keeps to one of them. */
struct shared_queue *blocking_next_queue(struct device *dev);
/* A transfer, checked and cut to the device's size, or NULL with a sentence
 * and *code. What is left to be set: finished, context. */
struct transfer *blocking_make_transfer(struct shared_queue *sq,
					const struct operation *op, int *code);
/* Begins it; t->finished() may be called before this returns. */
void blocking_begin(struct transfer *t);
/* What a finished transfer comes to, as api.h has it; records its sentence. */
int64_t blocking_result(const struct transfer *t);
/* The sentences for operations that were given up, both with -ETIMEDOUT. */
void blocking_cancelled(const struct device *dev, const struct operation *op);
int blocking_timed_out(const struct device *dev, const struct operation *op);

#endif
