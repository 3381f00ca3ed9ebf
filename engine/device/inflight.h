/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The back-end's record of the requests that it has in flight (INFLIGHT_SHMFD): memory
 * that the back-end makes and writes, and that we keep for the back-end that is started
 * after it. We neither map nor read it.
 *
 * A record belongs to rings: it is asked for when rings begin anew, and dropped with
 * them. While they live, every back-end that serves them gets the same one. The thread
 * that starts or stops the rings calls these functions.
 */
#ifndef INFLIGHT_H
#define INFLIGHT_H

#include <stdbool.h>

#include "vhost/proto.h"

struct device;

struct inflight {
	int fd; /* -1: there is none */
	struct vhost_user_inflight area;
};

/* True if the device should agree on INFLIGHT_SHMFD where it is offered. */
bool device_wants_inflight(const struct device *dev);

/* Asks for a record if there is none, for all queues, and hands it over. It comes after
 * the sizes of all rings and before anything else about them. Does nothing if
 * INFLIGHT_SHMFD was not agreed on. 0, or a negative errno with a sentence. */
int inflight_give(struct device *dev);

/* Drops the record, if there is one. */
void inflight_drop(struct device *dev);

#endif
