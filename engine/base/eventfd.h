/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kicks and calls are eventfds that a back-end holds as well, and whose flags it may
 * have changed. Any thread.
 */
#ifndef EVENTFD_H
#define EVENTFD_H

#include <stdint.h>

/* Returns a new eventfd, or -errno with a sentence. */
int eventfd_open(void);
/* 0, or -errno with a sentence. 0 also if the counter is full, because a kick is
 * pending then. A back-end that clears O_NONBLOCK and fills the counter makes the caller
 * wait, for as long as base/full_eventfds.h allows. */
int eventfd_kick(int fd);
/* Resets the counter and returns its previous value; never blocks. */
uint64_t eventfd_take(int fd);

#endif
