/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code that all ring formats share: the file descriptors of a ring, and its
 * signals. The control thread sets rings up; the worker that serves a ring
 * calls ring_take_kick(), ring_call() and ring_break().
 */
#include "ring/ring.h"

#include <errno.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/caller.h"
#include "base/given_fd.h"

void ring_init(struct ring *ring, unsigned int index)
{
	*ring = (struct ring){ .index = index,
			       .kick_fd = -1,
			       .call_fd = -1,
			       .err_fd = -1 };
}

void ring_close(struct ring *ring)
{
	ring_stop(ring);
	given_fd_close(ring->kick_fd);
	given_fd_close(ring->call_fd);
	given_fd_close(ring->err_fd);
	ring_init(ring, ring->index);
}

/* The client can change the flags of the open file, so read(2) might wait.
 * Linux before 5.12 does not support RWF_NOWAIT on an eventfd; there a ring
 * with a kick fd always counts as kicked. */
bool ring_take_kick(struct ring *ring)
{
	uint64_t kicks;
	struct iovec into = { &kicks, sizeof(kicks) };

	return preadv2(ring->kick_fd, &into, 1, -1, RWF_NOWAIT) > 0 ||
	       errno == EOPNOTSUPP;
}

bool ring_call(struct ring *ring)
{
	int result;

	if (ring->call_fd < 0 || ring->broken)
		return false;
	result = caller_signal(ring->call_fd);
	if (unlikely(result < 0))
		ring_break(ring, "its call eventfd makes us wait", result);
	return result > 0;
}

void ring_break(struct ring *ring, const char *reason, int code)
{
	ring->broken = true;
	ring->reason = reason;
	ring->reason_code = code;
	if (ring->err_fd >= 0)
		caller_signal(ring->err_fd);
}
