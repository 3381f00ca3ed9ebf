/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every ring format shares: the life of a ring's descriptors, and its
 * signals. Set-up by the control thread; ring_call() and ring_break() by the
 * worker that serves the ring.
 */
#include "ring.h"

#include <unistd.h>

void ring_init(struct ring *ring, unsigned int index)
{
	*ring = (struct ring){ .index = index,
			       .kick_fd = -1,
			       .call_fd = -1,
			       .err_fd = -1 };
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void ring_close(struct ring *ring)
{
	ring_stop(ring);
	close_if_open(ring->kick_fd);
	close_if_open(ring->call_fd);
	close_if_open(ring->err_fd);
	ring_init(ring, ring->index);
}

static bool signal_eventfd(int fd)
{
	const uint64_t one = 1;

	if (fd < 0)
		return false;
	/* It fails with EAGAIN when the counter is full: signalled already. */
	return write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one);
}

bool ring_call(struct ring *ring)
{
	return signal_eventfd(ring->call_fd);
}

void ring_break(struct ring *ring)
{
	ring->broken = true;
	signal_eventfd(ring->err_fd);
}
