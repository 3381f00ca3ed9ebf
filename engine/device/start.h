/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts the rings of a negotiated device, and stops them. Chooses the shapes of the
 * queues, and sends messages in an order that every back-end accepts. Part of
 * device_start() and device_close(), in their thread.
 */
#ifndef START_H
#define START_H

#include <stdint.h>

struct device;
struct queue;

/* 0, or a negative errno with a sentence. */
int start_queues(struct device *dev);
/* Parts of it, for a new connection to a device that is started. */
/* Sets the features. */
int start_agree(struct device *dev);
/* Tells the sizes of all rings. */
int start_sizes(struct device *dev);
/* Says that the driver is ready. */
int start_driver(struct device *dev);
/* Starts the ring of one queue at base, and kicks it. */
int start_queue(struct device *dev, struct queue *queue, uint16_t base);
/* Stops the rings, if the back-end still answers, and frees them. */
void stop_queues(struct device *dev);
/* Limits the parts of requests to the segments that a chain of the running queues has
 * room for. Called again once the limits of a disk are known. 0, or -EPROTO with a
 * sentence. */
int start_limit_parts(struct device *dev);

#endif
