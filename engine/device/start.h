/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a negotiated device to running rings, and back: queue shapes, the order of messages that every back-end takes. Part of
 * device_start() and device_close(), in their thread.
 */
#ifndef START_H
#define START_H

struct device;

/* 0, or a negative errno with a sentence. */
int start_queues(struct device *dev);
/* Stops the rings as far as the back-end still answers, and frees them. */
void stop_queues(struct device *dev);
/* No part of a request may need more segments than the running queues' chains
 * have room for; called again once a disk's limits are known. 0, or -EPROTO
 * with a sentence. */
int start_limit_parts(struct device *dev);

#endif
