/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handles the messages of a client, and closes a client. The control thread
 * calls these while the workers are parked.
 */
#ifndef BACKEND_PROTOCOL_H
#define BACKEND_PROTOCOL_H

#include "protocol/connection.h"

/* Handles a complete message. Returns 0, or a negative errno if the connection
 * must be closed. */
int protocol_handle(struct connection *connection);
/* Stops its rings and frees it. */
void protocol_close(struct connection *connection);

#endif
