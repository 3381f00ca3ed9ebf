/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages about a client's rings. Each returns 0 or a negative errno.
 * Control thread, with the workers parked.
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
/* Stops every ring, what it held completed; and starts those that can run. */
void protocol_halt_rings(struct connection *connection);
int protocol_resume_rings(struct connection *connection);
/* Back to what a new connection has. */
void protocol_reset_rings(struct connection *connection);

#endif
