/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One client: its socket, the message being received, and all that it set up
 * (memory, rings, features).
 *
 * Belongs to the control thread. What workers read of it changes only while
 * they are parked. Never blocks on the socket: a client that sends half a
 * message holds up nobody else.
 */
#ifndef BACKEND_CONNECTION_H
#define BACKEND_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "../vhost/proto.h"
#include "device/device.h"
#include "ring/inflight.h"
#include "memory/client.h"
#include "ring/ring.h"
#include "serve/worker.h"

/* What all clients share of the back-end. */
struct connection_shared {
	struct device *device;
	struct workers *workers;
	struct fault_set *faults;
	struct statistics *statistics; /* of faults on messages */
	int log_fd;
};

struct connection {
	struct connection *next;
	struct connection_shared shared;
	unsigned int id; /* counts from 1, for log lines */
	int fd;
	uint64_t heard; /* the server's count of events at its last one */

	/* The message being received, and how much of it has come. */
	struct vhost_user_message message;
	size_t received_bytes;
	int fds[VHOST_USER_MAX_FDS];
	unsigned int fd_count;
	uint64_t message_count;
	int reply_fd; /* to go with the reply, then closed; -1: none */

	/* What it set up. */
	uint64_t protocol_features;
	uint64_t status;
	int request_fd; /* for messages of ours; -1: none */
	struct memory memory;
	struct inflight inflight;
	struct session session;
	struct ring *rings;
	unsigned int ring_count;
};

/* Takes over the fd. NULL, and the reason by error_record(), on failure. */
struct connection *connection_open(const struct connection_shared *shared,
				   unsigned int id, int fd);
/* Which back-end we behave as. */
const struct profile *connection_profile(const struct connection *connection);
/* Whether any of its rings runs. */
bool connection_is_served(const struct connection *connection);
/* Forgets it; its rings were stopped. */
void connection_close(struct connection *connection);

/* Reads what has come, up to the end of one message. 1 if it is whole, 0 if
 * more is to come, a negative errno when the connection is to be closed. */
int connection_receive(struct connection *connection);
/* Ends the message that was handled; the next may come. */
void connection_next(struct connection *connection);

/* Sends the message as a reply, with the reply fd if there is one. */
int connection_reply(struct connection *connection,
		     struct vhost_user_message *message);
/* Makes the message its own reply; returns 0. */
int message_reply_u64(struct vhost_user_message *message, uint64_t value);
/* Tells the client that the configuration changed, if it listens. */
void connection_config_changed(struct connection *connection);

/* Takes the next fd that came with the message: the caller's now. */
int connection_take_fd(struct connection *connection);

#endif
