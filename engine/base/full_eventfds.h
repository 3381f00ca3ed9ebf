/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps eventfds that a back-end holds as well from making our writes to them wait.
 *
 * A back-end can clear O_NONBLOCK and fill the counter. Then a write(2) waits until
 * somebody reads, and no flag of write(2) prevents that. A check before each write
 * would cost a system call for each kick. So a thread looks at all eventfds five times
 * a second, and empties such counters. It takes no CPU time worth mentioning, and the
 * threads that write share nothing with it. It runs while there are eventfds to watch.
 */
#ifndef FULL_EVENTFDS_H
#define FULL_EVENTFDS_H

/* Any thread. If there is no memory or no thread for it, fd is not watched. */
void full_eventfds_watch(int fd);
/* Before fd is closed, and after a first call of full_eventfds_watch(). It does nothing
 * if fd is not watched, as in a process that was forked later. Any thread. */
void full_eventfds_forget(int fd);

#endif
