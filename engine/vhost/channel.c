/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of the back-end; see vhost/channel.h. */
#include "vhost/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "vhost/wire.h"

/* A back-end that sends without end does not keep the thread. */
#define MOST_AT_ONCE 16

/* The answer to a request that is not carried out. */
#define REFUSED 1

int vhost_channel_open(struct vhost_channel *channel, int *theirs)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return error_set(errno, "cannot make a socket for the back-end's requests: "
				 "%s", strerror(errno));
	*channel = (struct vhost_channel){ .is_open = true, .fd = ends[0] };
	*theirs = ends[1];
	return 0;
}

void vhost_channel_close(struct vhost_channel *channel)
{
	if (channel->is_open)
		close(channel->fd);
	channel->is_open = false;
}

static size_t bytes_missing(const struct vhost_channel *channel)
{
	const struct vhost_user_header *header = &channel->message.header;
	size_t wanted = sizeof(*header);

	if (channel->received_bytes >= wanted)
		wanted += header->size;
	return wanted - channel->received_bytes;
}

static int give_up(struct vhost_channel *channel, const char *why)
{
	channel->is_broken = true;
	return error_set(EPROTO, "the back-end %s (request %u, flags 0x%x, %u bytes) on the "
			 "socket for its requests, so changes of its disk are not noticed any "
			 "more", why, channel->message.header.request,
			 channel->message.header.flags, channel->message.header.size);
}

static int check_header(struct vhost_channel *channel)
{
	const struct vhost_user_header *header = &channel->message.header;

	if ((header->flags & VHOST_USER_VERSION_MASK) == VHOST_USER_VERSION &&
	    !(header->flags & VHOST_USER_FLAG_REPLY) &&
	    header->size <= sizeof(channel->message.payload))
		return 0;
	return give_up(channel, "sent what is no request");
}

/* 1 if there is more, or 0. After a hang-up there is nothing more to read. */
static int receive_some(struct vhost_channel *channel)
{
	char *to = (char *)&channel->message + channel->received_bytes;
	ssize_t count;

	do {
		count = vhost_wire_read(channel->fd, to, bytes_missing(channel));
	} while (count < 0 && errno == EINTR);
	channel->is_broken = !count;
	if (count > 0)
		channel->received_bytes += (size_t)count;
	return count > 0;
}

/* 1 if a message is complete, or 0, or a negative errno. */
static int receive(struct vhost_channel *channel)
{
	int code = 1;

	while (code > 0 && bytes_missing(channel)) {
		code = receive_some(channel);
		if (code && channel->received_bytes == sizeof(channel->message.header) &&
		    check_header(channel))
			return -EPROTO;
	}
	if (code)
		channel->received_bytes = 0;
	return code;
}

static int answer(struct vhost_channel *channel, uint64_t value)
{
	struct vhost_user_message reply = channel->message;
	size_t size = sizeof(reply.header) + sizeof(value);

	if (!(reply.header.flags & VHOST_USER_FLAG_NEED_REPLY))
		return 0;
	reply.header.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY;
	reply.header.size = sizeof(value);
	reply.payload.u64 = value;
	if (send(channel->fd, &reply, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size)
		return 0;
	return give_up(channel, "does not read the answer");
}

static int carry_out(struct vhost_channel *channel)
{
	const struct vhost_user_header *header = &channel->message.header;
	bool is_change = header->request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG &&
			 !header->size;
	int code = answer(channel, is_change ? 0 : REFUSED);

	return code ? code : is_change;
}

int vhost_channel_read(struct vhost_channel *channel)
{
	int has_changed = 0, code = 1;

	if (!channel->is_open || channel->is_broken)
		return 0;
	for (unsigned int i = 0; code > 0 && i < MOST_AT_ONCE; i++) {
		code = receive(channel);
		if (code <= 0)
			break;
		code = carry_out(channel);
		has_changed |= code > 0;
		code = code < 0 ? code : 1;
	}
	return code < 0 ? code : has_changed;
}
