/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kicks and calls: eventfds whose other end a back-end holds, and may have
 * changed the flags of. Any thread.
 */
#ifndef EVENTFD_H
#define EVENTFD_H

#include <stdint.h>

/* A new one, or -errno with a sentence. */
int eventfd_open(void);
/* 0, also when the counter is full, since then one is pending already; or
 * -errno with a sentence. A back-end that makes it block and fills its counter
 * can hold the caller up: no flag of write(2) prevents that. */
int eventfd_kick(int fd);
/* Empties the counter and returns what it held; never blocks. */
uint64_t eventfd_take(int fd);

#endif
