/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals eventfds of clients, and does not wait for long.
 *
 * write(2) to an eventfd waits while its counter is full, unless O_NONBLOCK is
 * set. A client shares the open file with us: it can fill the counter and clear
 * the flag at any moment, no flag of write(2) helps, and a worker that waits
 * there holds up all clients. So a timer interrupts the thread that waits.
 *
 * The timer is not set for each call, which would take longer than the call.
 * It is set once and expires 10 ms later, whatever the thread does by then; the
 * first call after that sets it again. A call that it finds unfinished is left
 * until it expires once more. Once a client has made us wait, it expires after
 * 0.2 ms instead, so that clients that do this again and again take little.
 *
 * Any thread. Each has a timer of its own from its first call on.
 */
#ifndef BACKEND_CALLER_H
#define BACKEND_CALLER_H

/* Adds one to an eventfd: one system call. 1 if it did, 0 if the counter is
 * full, -ETIMEDOUT if the client made us wait. */
int caller_signal(int event_fd);

/* A thread that called is about to leave the back-end. */
void caller_end(void);

#endif
