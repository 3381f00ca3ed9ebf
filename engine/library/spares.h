/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transfers of a queue that are used again, so that there are only as many as calls and
 * helpers at the same time. Any thread; a lock of their own guards them.
 */
#ifndef SPARES_H
#define SPARES_H

#include "library/shared_queue.h"

/* Returns a transfer that is new or reusable, or NULL, with a sentence. */
struct transfer *spares_take(struct shared_queue *sq);
/* t has finished. It is freed if it cannot be used again. */
void spares_keep(struct transfer *t);
/* Frees all; no thread may use the queue any more. */
void spares_free(struct shared_queue *sq);

#endif
