/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An io_uring: reads and writes of a file that the kernel carries out while its owner goes
 * on. It belongs to one worker. Without liburing at build time, none can be opened.
 */
#ifndef BACKEND_URING_H
#define BACKEND_URING_H

#include <stdbool.h>

#include "storage/storage.h"

struct uring;

/* Returns 0, or a negative errno with a sentence about why there is no io_uring here. */
int uring_open(struct uring **made, const struct storage *storage);
/* Nothing is in flight. NULL is allowed. */
void uring_close(struct uring *uring);
/* It can be read while a transfer is done that was not taken. */
int uring_fd(const struct uring *uring);

/* Adds a transfer; `segments` are those of its span and stay where they are until it is
 * done. False if there is no room, or if a write must not be made (storage/file.c). */
bool uring_add(struct uring *uring, struct storage *storage,
	       const struct postponed *transfer, const struct iovec *segments,
	       void *owner);
/* Shows the kernel what was added. Returns 0 if it has taken everything, -EAGAIN if it will
 * take the rest later, or another negative errno if it will never take anything more. */
int uring_submit(struct uring *uring);
/* The owner of a transfer that was added and that the kernel has not taken, or NULL. Only
 * after uring_submit() has failed for ever; nothing may be added afterwards. */
void *uring_take_back(struct uring *uring);
/* The owner of a transfer that is done, or NULL. `result` is what preadv() or pwritev()
 * would return, or a negative errno. */
void *uring_take(struct uring *uring, int *result);

#endif
