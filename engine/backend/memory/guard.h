/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handles the loss of memory that the back-end uses (SIGBUS).
 *
 * A client can cut its shared memory short. The guard then replaces that memory
 * by empty memory, which harms no other client, and the control thread closes
 * the client's connection. A page of a mapped storage file can be unavailable
 * because the file system is full, the file was cut short, or the device cannot
 * be read. Then the access is given up, and the request is tried again by a
 * system call. A SIGBUS at any other address is our own bug and ends the
 * process.
 *
 * A signal handler belongs to a whole process, so the guard is active only if
 * nothing but the back-end runs in the process.
 */
#ifndef BACKEND_GUARD_H
#define BACKEND_GUARD_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/barrier.h"

/* Activates the guard. It signals the eventfd, which must not block, after it
 * has replaced a client's memory. */
void guard_start(int alarm_fd);

/* Watches a client's memory, from its mmap() to its munmap(). Returns 0 or
 * -ENOMEM. The control thread calls these while the workers are parked. They do
 * nothing if the guard is not active. */
int guard_watch(void *start, size_t bytes);
void guard_forget(const void *start);
/* Whether the client took the memory away. */
bool guard_was_cut(const void *start);

/* Sets the mapped file in which accesses may be given up. Called at start. */
void guard_storage(const void *start, size_t bytes);

/* Where this thread continues when its access to storage is given up. NULL
 * while it accesses none. */
extern __thread jmp_buf *guard_attempt;

static inline void guard_end(void)
{
	/* The compiler must not move an access behind this store. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	guard_attempt = NULL;
}

/* Begins an access to storage, which guard_end() ends. It returns false at
 * first. If the access is given up, it returns a second time, with true, and
 * the access has ended. Local variables changed in between are undefined. */
#define guard_gives_up(attempt) \
	(guard_attempt = &(attempt), unlikely(_setjmp(attempt)))

#endif
