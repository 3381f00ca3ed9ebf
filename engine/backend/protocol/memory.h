/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages about a client's memory. Each returns 0 or a negative errno. The
 * control thread calls them while the workers are parked.
 */
#ifndef BACKEND_PROTOCOL_MEMORY_H
#define BACKEND_PROTOCOL_MEMORY_H

#include "protocol/connection.h"

int protocol_set_mem_table(struct connection *connection,
			   struct vhost_user_message *message);
int protocol_get_max_mem_slots(struct connection *connection,
			       struct vhost_user_message *message);
int protocol_add_mem_reg(struct connection *connection,
			 struct vhost_user_message *message);
int protocol_rem_mem_reg(struct connection *connection,
			 struct vhost_user_message *message);
int protocol_get_inflight_fd(struct connection *connection,
			     struct vhost_user_message *message);
int protocol_set_inflight_fd(struct connection *connection,
			     struct vhost_user_message *message);

#endif
