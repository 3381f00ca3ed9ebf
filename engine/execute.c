/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request, waited for; see execute.h. */
#include "execute.h"

#include <errno.h>
#include <poll.h>

#include "clock.h"
#include "error.h"
#include "eventfd.h"

static void wait_for_call(struct queue *queue, uint64_t deadline_ns)
{
	struct pollfd watched = { .fd = queue->call_fd, .events = POLLIN };

	if (!virtq_ask_calls(&queue->vq) &&
	    poll(&watched, 1, clock_left_ms(deadline_ns)) > 0)
		eventfd_take(queue->call_fd);
	virtq_refuse_calls(&queue->vq);
}

int execute(struct queue *queue, struct request *req, unsigned int timeout_ms)
{
	uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
	struct request *done;
	int code = queue_submit(queue, req);

	queue_commit(queue);
	while (!code && !queue_reap(queue, &done, 1)) {
		if (clock_now_ns() >= deadline_ns && !queue->abandoned) {
			error_set(ETIMEDOUT, "the back-end did not complete a %s "
				"within %u ms", disk_request_name(req->type),
				timeout_ms);
			queue_abandon(queue, ETIMEDOUT);
		}
		wait_for_call(queue, deadline_ns);
	}
	if (!code)
		code = -req->error;
	queue_put(queue, req);
	return code;
}
