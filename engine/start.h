/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a negotiated device to running rings, and back: shared memory, queue
 * shapes, the order of messages that every back-end takes. Part of
 * device_start() and device_close(), in their thread.
 */
#ifndef START_H
#define START_H

struct device;

/* 0, or a negative errno with a sentence. */
int start_queues(struct device *dev);
/* Stops the rings as far as the back-end still answers, and frees them. */
void stop_queues(struct device *dev);
/* Tells a running back-end of the regions that it does not know yet. The
 * caller holds dev->lock. */
int start_share_more(struct device *dev);
/* 0 if it would take one more region; else -ENOSPC with a sentence. */
int start_check_growth(const struct device *dev);

#endif
