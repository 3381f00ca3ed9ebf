/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the back-end changes while a device is in use: the size of the disk.
 *
 * A disk that grew is used up to the end that it had when the device was opened. On one
 * that shrank, what lies beyond its present end fails, with a sentence that names both
 * sizes; see queue_submit() and queue_explain().
 */
#ifndef CHANGES_H
#define CHANGES_H

#include <stdbool.h>

struct device;

/* Gives the back-end a socket for its requests, if BACKEND_REQ was agreed on: once for each
 * connection. 0, or a negative errno with a sentence. */
int changes_listen(struct device *dev);
void changes_close(struct device *dev);

/* Reads what the back-end has sent on that socket. If it says that the configuration
 * changed, reads the configuration, which blocks for a second at most. True, with a sentence
 * that does not name the socket, if there are news: the size of the disk is another one, or
 * further changes cannot be noticed. Any thread, and not on the I/O path. */
bool device_notice_changes(struct device *dev);

#endif
