/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One client: its socket, the message that is being received, and everything
 * that the client set up (memory, rings, features).
 *
 * It belongs to the control thread. The parts that workers read change only
 * while they are parked. Nothing waits for the socket, so a client that sends
 * half a message delays no other client.
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

/* The parts of the back-end that all clients share. */
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
	uint64_t last_event; /* server.events at its last event */

	/* The message that is being received, and how much of it arrived. */
	struct vhost_user_message message;
	size_t received_bytes;
	int fds[VHOST_USER_MAX_FDS];
	unsigned int fd_count;
	uint64_t message_count;
	int reply_fd; /* sent with the reply and then closed; -1: none */

	/* Set up by the client. */
	uint64_t protocol_features;
	uint64_t status;
	int request_fd; /* a socket for our own messages; -1: none */
	struct memory memory;
	struct inflight inflight;
	struct session session;
	struct ring *rings;
	unsigned int ring_count;
};

/* The connection owns the fd from then on. Returns NULL on failure, with the
 * reason in error_record(); then the caller still owns the fd. */
struct connection *connection_open(const struct connection_shared *shared,
				   unsigned int id, int fd);
/* The profile: which back-end is imitated. */
const struct profile *connection_profile(const struct connection *connection);
/* Whether one of its rings runs. */
bool connection_is_served(const struct connection *connection);
/* Frees it. The caller has stopped its rings. */
void connection_close(struct connection *connection);

/* Reads what has arrived, up to the end of one message. Returns 1 if the
 * message is complete, 0 if a part is missing, or a negative errno if the
 * connection must be closed. */
int connection_receive(struct connection *connection);
/* Frees what the handled message brought, and prepares for the next message. */
void connection_next(struct connection *connection);

/* Sends the message as a reply, with the reply fd if there is one. */
int connection_reply(struct connection *connection,
		     struct vhost_user_message *message);
/* Turns the message into its reply. Returns 0. */
int message_reply_u64(struct vhost_user_message *message, uint64_t value);
/* Tells the client that the configuration changed. False if it gave no socket
 * for that, or does not read it. */
bool connection_config_changed(struct connection *connection);

/* Returns the next fd that came with the message, which the caller then owns,
 * or a negative errno. */
int connection_take_fd(struct connection *connection);

#endif
