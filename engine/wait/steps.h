/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps that ways of waiting consist of: a look (a check of the used ring), many
 * looks, a sleep, and a block on the eventfd. Each function counts its own calls and
 * decides nothing. wait/wait.c and wait/adaptive_wait.c call them in the thread that
 * owns the wait.
 */
#ifndef WAIT_STEPS_H
#define WAIT_STEPS_H

#include "wait/wait.h"

/* Looks once and returns how many completions there are by now; before is what the
 * last look returned. */
unsigned int wait_look(struct wait *wait, unsigned int before);
/* Pauses between two looks, for longer if more requests are in flight. A look takes
 * the used ring's cache line away from the back-end that is writing it, so the
 * back-end completes more requests if there are fewer looks. */
void wait_pause(const struct wait *wait);
/* Looks until there are min completions, for some microseconds at most; the caller
 * checks the clock between two calls. */
unsigned int wait_look_on(struct wait *wait, unsigned int min, unsigned int before);

/* Sleeps from start_ns, which is now, for length_ns; returns the time after. */
uint64_t wait_sleep(struct wait *wait, uint64_t start_ns, uint64_t length_ns);

/* Asks for calls. Unless something has completed by then, blocks from start_ns, which
 * is now, until deadline_ns, a call, a hang-up or a signal. False after a hang-up or a
 * signal: look once more, then let the caller find out what happened. */
bool wait_block(struct wait *wait, uint64_t start_ns, uint64_t deadline_ns);

#endif
