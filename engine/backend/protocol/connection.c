/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receives messages with their file descriptors, and sends replies. Only the
 * control thread enters it. No size from a client is trusted.
 */
#include "protocol/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/given_fd.h"

struct connection *connection_open(const struct connection_shared *shared,
				   unsigned int id, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	unsigned int count = device_queue_count(shared->device), i;

	if (!connection)
		goto fail;
	connection->rings = calloc(count, sizeof(*connection->rings));
	if (!connection->rings)
		goto fail;
	for (i = 0; i < count; i++)
		ring_init(&connection->rings[i], i);
	connection->ring_count = count;
	connection->shared = *shared;
	connection->fd = fd;
	connection->request_fd = -1;
	connection->reply_fd = -1;
	connection->id = id;
	connection->session = (struct session){ .device = shared->device,
						.rings = connection->rings,
						.ring_count = count };
	shared->device->ops->open_session(&connection->session);
	return connection;
fail:
	error_record(-ENOMEM, "no memory for a client");
	free(connection);
	return NULL;
}

const struct profile *connection_profile(const struct connection *connection)
{
	return connection->shared.device->profile;
}

static void close_fds(struct connection *connection)
{
	while (connection->fd_count)
		given_fd_close(connection->fds[--connection->fd_count]);
}

bool connection_is_served(const struct connection *connection)
{
	unsigned int i;

	for (i = 0; i < connection->ring_count; i++)
		if (connection->rings[i].running)
			return true;
	return false;
}

void connection_close(struct connection *connection)
{
	free(connection->rings);
	memory_clear(&connection->memory);
	inflight_unmap(&connection->inflight);
	close_fds(connection);
	given_fd_close(connection->request_fd);
	if (connection->fd >= 0)
		given_fd_hang_up(connection->fd);
	free(connection);
}

int connection_take_fd(struct connection *connection)
{
	int fd;

	if (!connection->fd_count)
		return error_record(-EINVAL, "a file descriptor is missing");
	fd = connection->fds[0];
	memmove(connection->fds, connection->fds + 1,
		--connection->fd_count * sizeof(fd));
	return fd;
}

static int keep_fds(struct connection *connection, struct msghdr *received)
{
	struct cmsghdr *control;
	int result = 0;

	for (control = CMSG_FIRSTHDR(received); control;
	     control = CMSG_NXTHDR(received, control)) {
		const int *fds = (const int *)CMSG_DATA(control);
		size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		size_t i;

		if (control->cmsg_level != SOL_SOCKET ||
		    control->cmsg_type != SCM_RIGHTS)
			continue;
		for (i = 0; i < count; i++) {
			if (connection->fd_count < VHOST_USER_MAX_FDS) {
				connection->fds[connection->fd_count++] = fds[i];
				continue;
			}
			given_fd_close(fds[i]);
			result = -EMFILE;
		}
	}
	if (result || received->msg_flags & MSG_CTRUNC)
		return error_record(-EMFILE, "too many file descriptors");
	return 0;
}

/* Receives up to `bytes` more bytes of the message. */
static ssize_t receive(struct connection *connection, size_t bytes)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(GIVEN_FDS_MAX * sizeof(int))];
	} control;
	struct iovec into = {
		.iov_base = (uint8_t *)&connection->message +
			    connection->received_bytes,
		.iov_len = bytes,
	};
	struct msghdr received = { .msg_iov = &into,
				   .msg_iovlen = 1,
				   .msg_control = &control,
				   .msg_controllen = sizeof(control) };
	ssize_t count;

	do
		count = recvmsg(connection->fd, &received,
				MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return -errno;
	if (!count)
		return -ENOTCONN;
	connection->received_bytes += count;
	return keep_fds(connection, &received) ? -EMFILE : count;
}

/* The bytes that are missing in the header or, after it, in the payload. */
static size_t missing_bytes(const struct connection *connection)
{
	const struct vhost_user_header *header = &connection->message.header;

	if (connection->received_bytes < sizeof(*header))
		return sizeof(*header) - connection->received_bytes;
	return sizeof(*header) + header->size - connection->received_bytes;
}

static int check_header(const struct vhost_user_header *header)
{
	if ((header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
	    header->flags & VHOST_USER_FLAG_REPLY)
		return error_record(-EPROTO,
				    "request %u has flags %#x: it must have "
				    "version 1 and not be a reply",
				    header->request, header->flags);
	if (header->size > sizeof(struct vhost_user_message) - sizeof(*header))
		return error_record(-EMSGSIZE,
				    "request %u has a payload of %u bytes, which "
				    "is too large",
				    header->request, header->size);
	return 0;
}

int connection_receive(struct connection *connection)
{
	const size_t header_bytes = sizeof(struct vhost_user_header);

	for (;;) {
		ssize_t count = receive(connection, missing_bytes(connection));
		int result = 0;

		if (count == -EAGAIN)
			return 0;
		if (count < 0)
			return count;
		if (connection->received_bytes == header_bytes)
			result = check_header(&connection->message.header);
		if (result)
			return result;
		if (connection->received_bytes >= header_bytes &&
		    !missing_bytes(connection))
			return 1;
	}
}

void connection_next(struct connection *connection)
{
	close_fds(connection);
	if (connection->reply_fd >= 0)
		close(connection->reply_fd);
	connection->reply_fd = -1;
	connection->received_bytes = 0;
}

static int send_message(int socket, const struct vhost_user_message *message,
			int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec from = {
		.iov_base = (void *)message,
		.iov_len = sizeof(message->header) + message->header.size,
	};
	struct msghdr sent = { .msg_iov = &from, .msg_iovlen = 1 };
	ssize_t count;

	if (fd >= 0) {
		sent.msg_control = &control;
		sent.msg_controllen = sizeof(control);
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	do
		count = sendmsg(socket, &sent, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return -errno;
	/* A full socket means that the client does not read its replies. */
	return (size_t)count == from.iov_len ? 0 : -EPIPE;
}

int connection_reply(struct connection *connection,
		     struct vhost_user_message *message)
{
	int result;

	message->header.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY;
	result = send_message(connection->fd, message, connection->reply_fd);
	if (result)
		return error_record(result, "reply to request %u: %s",
				    message->header.request, strerror(-result));
	return 0;
}

int message_reply_u64(struct vhost_user_message *message, uint64_t value)
{
	message->header.size = sizeof(value);
	message->payload.u64 = value;
	return 0;
}

bool connection_config_changed(struct connection *connection)
{
	const struct vhost_user_message message = {
		.header = { .request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
			    .flags = VHOST_USER_VERSION },
	};

	if (connection->request_fd < 0)
		return false;
	if (!send_message(connection->request_fd, &message, -1))
		return true;
	log_line(connection->shared.log_fd,
		 "client %u cannot be told that the configuration changed",
		 connection->id);
	return false;
}
