/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the messages of a client do, and its end. Control thread, with the
 * workers parked.
 */
#ifndef BACKEND_PROTOCOL_H
#define BACKEND_PROTOCOL_H

#include "protocol/connection.h"

/* Handles the message that is whole. 0, or a negative errno when the connection
 * is to be closed. */
int protocol_handle(struct connection *connection);
/* Stops its rings and forgets it. */
void protocol_close(struct connection *connection);

#endif
