/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ways of waiting are made of: a look, some looks, a sleep, a block on
 * the eventfd; each counts itself. For wait/wait.c and wait/adaptive_wait.c; called by
 * the thread that owns the wait. Decides nothing.
 */
#ifndef WAIT_STEPS_H
#define WAIT_STEPS_H

#include "wait/wait.h"

/* Each look returns how many completions there are by now; before is what the
 * last one returned. */
unsigned int wait_look(struct wait *wait, unsigned int before);
/* Between two looks: the longer, the more is in flight. A look takes the used
 * ring's cache line away from the back-end that is writing it, so that looking
 * less lets it complete more. */
void wait_pause(const struct wait *wait);
/* Looks until there are min, for some microseconds at most: between two calls
 * is the time for a glance at the clock. */
unsigned int wait_look_on(struct wait *wait, unsigned int min, unsigned int before);

/* Sleeps from start_ns, which is now, for length_ns; returns the time after. */
uint64_t wait_sleep(struct wait *wait, uint64_t start_ns, uint64_t length_ns);

/* Asks for calls, and unless there is something by then blocks from start_ns,
 * which is now, until deadline_ns, a call, a hang-up or a signal. False: look
 * once more, then let the caller look into it. */
bool wait_block(struct wait *wait, uint64_t start_ns, uint64_t deadline_ns);

#endif
