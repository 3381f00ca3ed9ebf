/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens when memory that we use is taken away (SIGBUS).
 *
 * Memory that a client shares can be cut short by the client. It is replaced
 * by empty memory, which harms that client alone, and the control thread sends
 * the client away. Storage in a mapped file can be unavailable: its file
 * system is full, somebody cut the file short, or its device cannot be read.
 * Then the access is given up, so that the request fails. A SIGBUS anywhere
 * else is a fault of ours and ends the process.
 *
 * A signal's handler belongs to a whole process, so the guard stands only in a
 * process that is the back-end's own.
 */
#ifndef BACKEND_GUARD_H
#define BACKEND_GUARD_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/barrier.h"

/* From now on the guard stands. The eventfd, which does not block, is written
 * to when a client's memory was replaced. */
void guard_start(int alarm_fd);

/* A client's memory, from mmap() to munmap(): 0 or -ENOMEM. Control thread,
 * with the workers parked. Nothing happens where no guard stands. */
int guard_watch(void *start, size_t bytes);
void guard_forget(const void *start);
/* Whether the client took the memory away. */
bool guard_was_cut(const void *start);

/* The mapped file in which accesses may be given up. At start. */
void guard_storage(const void *start, size_t bytes);

/* Where this thread goes on when an access to storage is given up; NULL: it is
 * in none. */
extern __thread jmp_buf *guard_attempt;

static inline void guard_end(void)
{
	/* The accesses stay before this store. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	guard_attempt = NULL;
}

/* Begins an access to storage, which guard_end() ends. True, for a second time,
 * if the access was given up, and then it has ended. Local variables that were
 * changed since the first time have no defined value. */
#define guard_gives_up(attempt) \
	(guard_attempt = &(attempt), unlikely(_setjmp(attempt)))

#endif
