/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request at a time, waited for: for discovery and the like, never on the
 * I/O path. The calling thread must own the queue, and have nothing else in
 * flight on it.
 */
#ifndef EXECUTE_H
#define EXECUTE_H

#include "device/queue.h"

/* Submits req and waits until it is done, and puts it back. 0, or a negative
 * errno with a sentence. The queue is abandoned when time is up, and when
 * socket_fd, the connection that it belongs to, says that the back-end hung up. */
int execute(struct queue *queue, struct request *req, int socket_fd,
	    unsigned int timeout_ms);

#endif
