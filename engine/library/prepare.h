/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Turns an operation of a program into a transfer: checks it, and cuts it to the size
 * of the device. Any thread; nothing is kept.
 */
#ifndef PREPARE_H
#define PREPARE_H

#include "library/shared_queue.h"

/* The most parts of an operation; that of Linux, where IOV_MAX is a runtime value. */
#define PREPARE_MAX_PARTS 1024

/* Makes a transfer that can be prepared, at offset_bytes in a block of size_bytes. NULL,
 * with a sentence, if there is no memory. */
struct transfer *prepare_new(struct shared_queue *sq, size_t size_bytes,
			     size_t offset_bytes);
/* Tells the back-end of memory of these operations that another device has added. This
 * may block for connect_timeout_ms, so no lock is held, and deadlines are set
 * afterwards. The operations need not be checked. */
void prepare_memory(struct device *dev, const struct operation *const *ops,
		    unsigned int count);
/* Sets all of t that depends on op, for its device; t is new, or reusable (transfer_is_reusable()). 0, or
 * a negative errno with a sentence; then t can be prepared for another one. */
int prepare_transfer(struct transfer *t, struct device *dev, const struct operation *op,
		     uint64_t deadline_ns);
/* The bytes of an operation that was checked. */
uint64_t prepare_bytes_of(const struct operation *op);

#endif
