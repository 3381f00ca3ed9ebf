/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests of the back-end (BACKEND_REQ), on a socket of their own. The only one that
 * means anything to us says that the configuration changed.
 *
 * One thread at a time uses a channel. No call waits for the back-end, whatever it sends:
 * a message that has come only in part is taken up at the next call. The back-end's end of
 * the socket is not closed before the channel, because a back-end may die of a message
 * that nobody can receive.
 */
#ifndef VHOST_CHANNEL_H
#define VHOST_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "vhost/proto.h"

struct vhost_channel {
	bool is_open;
	int fd;
	bool is_broken; /* nothing more is read */
	size_t received_bytes;
	struct vhost_user_message message;
};

/* Makes a channel; *theirs is the end for SET_BACKEND_REQ_FD, which the caller closes. 0,
 * or a negative errno with a sentence. */
int vhost_channel_open(struct vhost_channel *channel, int *theirs);
void vhost_channel_close(struct vhost_channel *channel);

/* Answers what has come, at most a few messages. 1 if one of them says that the
 * configuration changed; 0; or, once, a negative errno with a sentence: nothing more is
 * read, because what came was no message, or because the answers are not read. */
int vhost_channel_read(struct vhost_channel *channel);

#endif
