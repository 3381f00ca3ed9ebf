/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls for ordinary programs that wait for their result, such as
 * device_read() (declared in api.h), and what all calls of this room share.
 *
 * Any thread may call between device_attach() and device_detach(). Each thread
 * always uses the same queue. library/shared_queue.h carries out the transfers, and
 * library/poller.h waits.
 */
#ifndef BLOCKING_H
#define BLOCKING_H

#include "library/shared_queue.h"

/* What a device needs once it is attached. */
struct blocking {
	struct claims claims;
	char *slots;              /* bounce buffers of all queues */
	uint64_t timeout_ns;      /* for each step of a transfer */
	unsigned int num_queues;
	unsigned int next_queue;  /* atomic */
	struct shared_queue queues[];
};

/* Returns the next queue of the device, in turn. */
struct shared_queue *blocking_next_queue(struct device *dev);
/* The result of a finished transfer, as in api.h; records the sentence if it failed. */
int64_t blocking_result(const struct transfer *t);
/* Record the sentence for an operation that was given up, with ETIMEDOUT. */
void blocking_cancelled(const struct device *dev, const struct operation *op);
int blocking_timed_out(const struct device *dev, const struct operation *op);

#endif
