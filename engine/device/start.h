/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts the rings of a negotiated device, and stops them. Chooses the shapes of the
 * queues, and sends messages in an order that every back-end accepts. Part of
 * device_start() and device_close(), in their thread.
 */
#ifndef START_H
#define START_H

struct device;

/* 0, or a negative errno with a sentence. */
int start_queues(struct device *dev);
/* Stops the rings, if the back-end still answers, and frees them. */
void stop_queues(struct device *dev);
/* Limits the parts of requests to the segments that a chain of the running queues has
 * room for. Called again once the limits of a disk are known. 0, or -EPROTO with a
 * sentence. */
int start_limit_parts(struct device *dev);

#endif
