/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Executes one request and waits for it; see device/execute_one.h. */
#include "device/execute_one.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/eventfd.h"

/* The time between two looks at the ring, in case calls are lost. It is short,
 * because a scan of all targets consists of hundreds of commands. */
#define LOOK_INTERVAL_MS 1

/* False if the back-end hung up. */
static bool wait_for_call(struct queue *queue, int socket_fd, uint64_t deadline_ns)
{
	struct pollfd watched[] = {
		{ .fd = queue->call_fd, .events = POLLIN },
		{ .fd = socket_fd, .events = POLLRDHUP },
	};
	int left_ms = clock_left_ms(deadline_ns);

	if (left_ms > LOOK_INTERVAL_MS)
		left_ms = LOOK_INTERVAL_MS;
	if (!virtq_ask_calls(&queue->vq) && poll(watched, 2, left_ms) > 0 &&
	    watched[0].revents)
		eventfd_take(queue->call_fd);
	virtq_refuse_calls(&queue->vq);
	return !watched[1].revents;
}

/* A negative errno with the reason why the request is given up, or 0. */
static int find_end(bool is_there, bool is_busy, uint64_t deadline_ns,
		    const struct request *req)
{
	if (!is_there)
		return error_set(EIO, "the back-end hung up during a %s",
				  disk_request_name(req->type));
	if (clock_now_ns() >= deadline_ns)
		return error_set(ETIMEDOUT, "the back-end did not complete a "
				  "%s in time%s", disk_request_name(req->type),
				  is_busy ? ": it says that it is busy" : "");
	return 0;
}

/* 0 once req was reaped, or a negative errno with the reason why it will not be. */
static int wait_for(struct queue *queue, const struct request *req, int socket_fd,
		    unsigned int timeout_ms)
{
	uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
	struct request *done;
	int code = 0;

	while (!code && !queue_reap(queue, &done, 1)) {
		bool is_there = wait_for_call(queue, socket_fd, deadline_ns);

		if (!virtq_has_used(&queue->vq))
			code = find_end(is_there, queue->num_waiting != 0, deadline_ns,
					req);
	}
	return code;
}

int execute_or_leave(struct queue *queue, struct request *req, int socket_fd,
		     unsigned int timeout_ms)
{
	int code = queue_submit(queue, req);

	if (!code) {
		queue_commit(queue);
		code = wait_for(queue, req, socket_fd, timeout_ms);
		if (code)
			return code;
		code = -req->error;
	}
	queue_put(queue, req);
	return code;
}

int execute(struct queue *queue, struct request *req, int socket_fd,
	    unsigned int timeout_ms)
{
	struct request *done;
	int code = execute_or_leave(queue, req, socket_fd, timeout_ms);

	if (!queue_holds(queue, req->chain))
		return code;
	queue_abandon(queue, -code);
	queue_reap(queue, &done, 1);
	queue_put(queue, req);
	return code;
}
