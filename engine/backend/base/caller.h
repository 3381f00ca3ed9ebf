/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals the eventfds of clients without waiting for long.
 *
 * write(2) to an eventfd waits while its counter is full, unless O_NONBLOCK is
 * set. A client shares the open file with us, so it can fill the counter and
 * clear the flag at any moment, and a write that never waits does not exist. A
 * worker that waits there delays all clients, so a timer interrupts the wait.
 *
 * To set the timer for each signal would take longer than the signal itself. So
 * the timer is set once and expires 10 ms later, whether or not the thread is
 * waiting then; the first signal after that sets it again. If the timer expires
 * just before a write begins, it is set again at once, so that the next expiry
 * interrupts the write. Once a client has made us wait, the time is 0.2 ms, so
 * clients that do this repeatedly cost little time.
 *
 * Any thread may call it. Each thread gets its own timer at its first call.
 */
#ifndef BACKEND_CALLER_H
#define BACKEND_CALLER_H

/* Adds one to an eventfd by one system call. Returns 1 if it was added, 0 if
 * the write failed or would wait, -ETIMEDOUT if the client made us wait. */
int caller_signal(int event_fd);

/* Frees the calling thread's timer before the thread leaves the back-end. */
void caller_end(void);

#endif
