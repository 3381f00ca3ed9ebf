/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages about a client's rings. Each returns 0 or a negative errno. The
 * control thread calls them while the workers are parked.
 */
#ifndef BACKEND_PROTOCOL_RING_H
#define BACKEND_PROTOCOL_RING_H

#include "protocol/connection.h"

int protocol_set_vring_num(struct connection *connection,
			   struct vhost_user_message *message);
int protocol_set_vring_addr(struct connection *connection,
			    struct vhost_user_message *message);
int protocol_set_vring_base(struct connection *connection,
			    struct vhost_user_message *message);
int protocol_get_vring_base(struct connection *connection,
			    struct vhost_user_message *message);
int protocol_set_vring_kick(struct connection *connection,
			    struct vhost_user_message *message);
int protocol_set_vring_call(struct connection *connection,
			    struct vhost_user_message *message);
int protocol_set_vring_err(struct connection *connection,
			   struct vhost_user_message *message);
int protocol_set_vring_enable(struct connection *connection,
			      struct vhost_user_message *message);
/* Completes the held requests of all rings, and stops the rings. */
void protocol_halt_rings(struct connection *connection);
/* Starts the rings that can run. */
int protocol_resume_rings(struct connection *connection);
/* Stops the rings and resets them to the state of a new connection. */
void protocol_reset_rings(struct connection *connection);

#endif
