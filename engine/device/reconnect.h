/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reconnects a device whose back-end hung up, and starts its rings again with the requests
 * in flight.
 *
 * One thread owns each queue, and it makes all calls on it, this one too. The first thread
 * that notices the hang-up connects; the owner of each queue starts its own ring on the
 * new connection, at its next call. So no thread stops another one, and the I/O path
 * knows nothing of all this.
 */
#ifndef RECONNECT_H
#define RECONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "api.h"

struct device;
struct queue;

/* The state of a device's connection. */
struct reconnect {
	unsigned int generation; /* atomic: how often it was made again */
	/* Under dev->lock: */
	bool is_away;
	int failed;              /* 0, or the errno of a device that was given up */
	uint64_t noticed_ns;     /* when the last hang-up was noticed */
	uint64_t next_ns;        /* when the next attempt is made */
	uint64_t pause_ns;       /* after that one */
	char reason[300];        /* why the last attempt failed */
	uint64_t away_ns;        /* of the last reconnect, until the last ring ran again */
	struct device_reconnects counts;
};

enum connection {
	CONNECTION_RUNS,    /* the ring of the queue runs */
	CONNECTION_AWAY,    /* it does not: call again after 10 ms, and reap meanwhile */
	CONNECTION_IS_BACK, /* it runs again, with the requests in flight */
};

/* Called now and then by the owner of a queue that is not abandoned, while it waits.
 * Returns an enum connection, or -EIO with a sentence, which does not name the socket: the
 * back-end hung up and does not come back. Blocks for connect_timeout_ms at most, and only
 * while the back-end is away. */
int device_keep_connected(struct device *dev, struct queue *queue);

#endif
