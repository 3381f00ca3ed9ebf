/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every ring format shares: the life of a ring's descriptors, and its
 * signals. Set-up by the control thread; ring_call() and ring_break() by the
 * worker that serves the ring.
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

/* The client shares the flags of the open file, so that a read(2) may wait. Linux
 * before 5.12 has no other way to read; there, a ring that was given a kick fd
 * counts as kicked. */
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

void ring_break(struct ring *ring, const char *breach, int code)
{
	ring->broken = true;
	ring->breach = breach;
	ring->breach_code = code;
	if (ring->err_fd >= 0)
		caller_signal(ring->err_fd);
}
