/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Executes one request and waits for it, for example during discovery; never on the
 * I/O path. The calling thread must own the queue, and no other request may be in
 * flight on it.
 */
#ifndef EXECUTE_H
#define EXECUTE_H

#include "device/queue.h"

/* Submits req, waits until it is done, and puts it back. 0, or a negative errno with
 * a sentence. The queue is abandoned after timeout_ms, and when the back-end has hung
 * up on socket_fd, the connection of the queue's device. */
int execute(struct queue *queue, struct request *req, int socket_fd,
	    unsigned int timeout_ms);
/* The same, but a request that is not done by then is left in flight, and the queue can
 * be used: a later queue_reap() may return the request. */
int execute_or_leave(struct queue *queue, struct request *req, int socket_fd,
		     unsigned int timeout_ms);

#endif
