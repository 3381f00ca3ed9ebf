/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhost-user messages over the socket; see vhost/wire.h. */
#include "vhost/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/unwanted_fds.h"

const char *vhost_wire_name(uint32_t request)
{
	static const char *const names[] = {
		[VHOST_USER_GET_FEATURES] = "GET_FEATURES",
		[VHOST_USER_SET_FEATURES] = "SET_FEATURES",
		[VHOST_USER_SET_OWNER] = "SET_OWNER",
		[VHOST_USER_SET_MEM_TABLE] = "SET_MEM_TABLE",
		[VHOST_USER_SET_VRING_NUM] = "SET_VRING_NUM",
		[VHOST_USER_SET_VRING_ADDR] = "SET_VRING_ADDR",
		[VHOST_USER_SET_VRING_BASE] = "SET_VRING_BASE",
		[VHOST_USER_GET_VRING_BASE] = "GET_VRING_BASE",
		[VHOST_USER_SET_VRING_KICK] = "SET_VRING_KICK",
		[VHOST_USER_SET_VRING_CALL] = "SET_VRING_CALL",
		[VHOST_USER_GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
		[VHOST_USER_SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
		[VHOST_USER_GET_QUEUE_NUM] = "GET_QUEUE_NUM",
		[VHOST_USER_SET_VRING_ENABLE] = "SET_VRING_ENABLE",
		[VHOST_USER_SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
		[VHOST_USER_GET_CONFIG] = "GET_CONFIG",
		[VHOST_USER_GET_INFLIGHT_FD] = "GET_INFLIGHT_FD",
		[VHOST_USER_SET_INFLIGHT_FD] = "SET_INFLIGHT_FD",
		[VHOST_USER_GET_MAX_MEM_SLOTS] = "GET_MAX_MEM_SLOTS",
		[VHOST_USER_ADD_MEM_REG] = "ADD_MEM_REG",
		[VHOST_USER_REM_MEM_REG] = "REM_MEM_REG",
		[VHOST_USER_SET_STATUS] = "SET_STATUS",
		[VHOST_USER_GET_STATUS] = "GET_STATUS",
	};
	static __thread char number[24];

	if (request < sizeof(names) / sizeof(names[0]) && names[request])
		return names[request];
	snprintf(number, sizeof(number), "request %u", request);
	return number;
}

int vhost_wire_break(struct vhost_user *vu, int code, const char *format, ...)
{
	char what[256];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	vu->is_dead = true;
	return error_set(code, "%s: the back-end %s", vu->path, what);
}

static int check_alive(struct vhost_user *vu, uint32_t request)
{
	if (!vu->is_dead)
		return 0;
	return error_set(ENOTCONN, "%s: %s cannot be sent: the connection is "
		"closed", vu->path, vhost_wire_name(request));
}

/* The message of a time-out names the request and the usual cause: a back-end that
 * serves one client at a time answers the second one only after the first has left. */
static int wait_for(struct vhost_user *vu, short events, uint32_t request)
{
	struct pollfd watched = { .fd = vu->fd, .events = events };
	int ready;

	do {
		ready = poll(&watched, 1, clock_left_ms(vu->deadline_ns));
	} while (ready < 0 && errno == EINTR);
	if (ready > 0)
		return 0;
	return vhost_wire_break(vu, ETIMEDOUT, "did not answer %s in time: it "
		"is stopped, or takes one client at a time and has one (jobs "
		"share a connection with thread=1)", vhost_wire_name(request));
}

static void attach_fds(struct msghdr *header, const int *fds, unsigned int num_fds)
{
	struct cmsghdr *control;

	if (!num_fds)
		return;
	header->msg_controllen = CMSG_SPACE(sizeof(int) * num_fds);
	control = CMSG_FIRSTHDR(header);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof(int) * num_fds);
	memcpy(CMSG_DATA(control), fds, sizeof(int) * num_fds);
}

int vhost_wire_send(struct vhost_user *vu, struct vhost_user_message *message,
		    const int *fds, unsigned int num_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_USER_MAX_FDS)];
	} control = { 0 };
	size_t total = sizeof(message->header) + message->header.size, sent = 0;
	int code = check_alive(vu, message->header.request);

	while (!code && sent < total) {
		struct iovec part = { (char *)message + sent, total - sent };
		struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1,
					 .msg_control = control.bytes };
		ssize_t count;

		/* File descriptors are sent with the first byte. */
		attach_fds(&header, fds, sent ? 0 : num_fds);
		count = sendmsg(vu->fd, &header, MSG_NOSIGNAL);
		if (count >= 0)
			sent += (size_t)count;
		else if (errno == EAGAIN)
			code = wait_for(vu, POLLOUT, message->header.request);
		else if (errno != EINTR)
			code = vhost_wire_break(vu, ECONNRESET, "hung up at %s",
				vhost_wire_name(message->header.request));
	}
	return code;
}

/* The file descriptors that came with an answer: only the first of them is kept. */
struct came {
	unsigned int count;
	int fd;
};

/* What one recvmsg() brought that is not wanted. */
struct unwanted {
	unsigned int count;
	int fds[UNWANTED_FDS_MAX];
};

static void take_fds(struct msghdr *header, struct came *came, struct unwanted *unwanted)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control;
	     control = CMSG_NXTHDR(header, control)) {
		size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int *fds = (int *)CMSG_DATA(control);

		if (control->cmsg_level != SOL_SOCKET ||
		    control->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			if (came && !came->count++)
				came->fd = fds[i];
			else if (unwanted->count < UNWANTED_FDS_MAX)
				unwanted->fds[unwanted->count++] = fds[i];
		}
	}
}

/* came is NULL if the answer should carry no file descriptors. Those that arrive without
 * being wanted are closed, so that a back-end cannot fill our table with them. */
static ssize_t receive_some(int fd, void *buffer, size_t size, struct came *came)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * UNWANTED_FDS_MAX)];
	} control;
	struct iovec part = { buffer, size };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes) };
	ssize_t count = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct unwanted unwanted = { .count = 0 };

	if (count < 0)
		return count;
	take_fds(&header, came, &unwanted);
	unwanted_fds_close(unwanted.fds, unwanted.count);
	return count;
}

ssize_t vhost_wire_read(int fd, void *buffer, size_t size)
{
	return receive_some(fd, buffer, size, NULL);
}

/* Nothing arrives after the shutdown. What nobody has received would be closed with the
 * socket. */
void vhost_user_hang_up(struct vhost_user *vu)
{
	char some[4096];

	shutdown(vu->fd, SHUT_RDWR);
	while (receive_some(vu->fd, some, sizeof(some), NULL) > 0)
		;
}

static int receive_all(struct vhost_user *vu, void *buffer, size_t size,
		       uint32_t request, struct came *came)
{
	size_t received = 0;
	int code = 0;

	while (!code && received < size) {
		ssize_t count = receive_some(vu->fd, (char *)buffer + received,
					     size - received, came);

		if (count > 0)
			received += (size_t)count;
		else if (count < 0 && errno == EAGAIN)
			code = wait_for(vu, POLLIN, request);
		else if (count == 0 || errno != EINTR)
			code = vhost_wire_break(vu, ECONNRESET, "hung up at %s",
				vhost_wire_name(request));
	}
	return code;
}

static int check_header(struct vhost_user *vu, const struct vhost_user_header *header,
			uint32_t request, uint32_t size, uint32_t optional)
{
	if (header->request != request)
		return vhost_wire_break(vu, EPROTO, "answered %s with request "
			"number %u", vhost_wire_name(request), header->request);
	if ((header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
	    !(header->flags & VHOST_USER_FLAG_REPLY))
		return vhost_wire_break(vu, EPROTO, "answered %s with flags "
			"0x%x, not a reply of version 1",
			vhost_wire_name(request), header->flags);
	if (header->size > size || size - header->size > optional)
		return vhost_wire_break(vu, EPROTO, "answered %s with %u bytes "
			"instead of %u", vhost_wire_name(request), header->size,
			size);
	return 0;
}

static int receive(struct vhost_user *vu, struct vhost_user_message *message,
		   uint32_t size, uint32_t optional, struct came *came)
{
	uint32_t request = message->header.request;
	int code = receive_all(vu, &message->header, sizeof(message->header), request,
			       came);

	if (!code)
		code = check_header(vu, &message->header, request, size, optional);
	if (!code)
		code = receive_all(vu, &message->payload, message->header.size, request,
				   came);
	return code;
}

int vhost_wire_receive(struct vhost_user *vu, struct vhost_user_message *message,
		       uint32_t size)
{
	return receive(vu, message, size, 0, NULL);
}

int vhost_wire_receive_fd(struct vhost_user *vu, struct vhost_user_message *message,
			  uint32_t size, uint32_t optional, int *fd)
{
	struct came came = { 0 };
	uint32_t request = message->header.request;
	int code = receive(vu, message, size, optional, &came);

	if (!code && came.count != 1)
		code = vhost_wire_break(vu, EPROTO, "answered %s with %u file descriptors "
					"instead of one", vhost_wire_name(request),
					came.count);
	if (code)
		unwanted_fds_close(&came.fd, came.count != 0);
	*fd = code ? -1 : came.fd;
	return code;
}
