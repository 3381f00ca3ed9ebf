/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends whole vhost-user messages over the socket, and receives and checks answers,
 * within the connection's deadline. Of a request it knows only the name. Only
 * vhost/user.c and vhost/channel.c call it, in the same thread.
 */
#ifndef VHOST_WIRE_H
#define VHOST_WIRE_H

#include <stddef.h>
#include <sys/types.h>

#include "vhost/user.h"

/* "GET_FEATURES" ... or "request N". The text is static or of this thread. */
const char *vhost_wire_name(uint32_t request);

/* Sends message with num_fds file descriptors (VHOST_USER_MAX_FDS at most). */
int vhost_wire_send(struct vhost_user *vu, struct vhost_user_message *message,
		    const int *fds, unsigned int num_fds);

/* Receives the answer to message into message. The answer must name the same request,
 * be marked as a reply, and have a payload of exactly size bytes. */
int vhost_wire_receive(struct vhost_user *vu, struct vhost_user_message *message,
		       uint32_t size);
/* The same for an answer that carries one file descriptor, which the caller then owns.
 * The last optional bytes of its payload may be missing. */
int vhost_wire_receive_fd(struct vhost_user *vu, struct vhost_user_message *message,
			  uint32_t size, uint32_t optional, int *fd);

/* recvmsg(2) without waiting. File descriptors that come are closed. */
ssize_t vhost_wire_read(int fd, void *buffer, size_t size);

/* Marks the connection dead and records "PATH: the back-end ..." */
int vhost_wire_break(struct vhost_user *vu, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
