/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue begins again on a new connection; declared in device/queue.h. The thread that owns
 * the queue calls this between two connections, so no back-end looks at the ring.
 */
#include "device/queue.h"

void queue_unanswer(struct queue *queue)
{
	for (uint16_t chain = 0; chain < queue->vq.shape.num_chains; chain++)
		if (virtq_holds(&queue->vq, chain))
			queue->commands->unanswer(&queue->vq, chain);
}

/* Requests that wait to be sent again to a busy device are in no ring, and stay as they
 * are. */
void queue_rewind(struct queue *queue)
{
	queue_unanswer(queue);
	virtq_rewind(&queue->vq);
	queue->shares_cpu = false;
	queue->patient_since_ns = 0;
}

static void take_back_all(struct queue *queue)
{
	uint16_t count = queue->vq.shape.num_chains;

	queue->num_free = 0;
	for (uint16_t i = 0; i < count; i++) {
		queue->vq.order[i] = 0;
		queue->retries[i] = (struct retry){ 0 };
		queue->free_chains[queue->num_free++] = count - 1 - i;
	}
}

void queue_renew(struct queue *queue)
{
	take_back_all(queue);
	queue->num_waiting = 0;
	queue->abandoned = 0;
	queue->vq.is_broken = false;
	queue_rewind(queue);
}
