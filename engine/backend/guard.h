/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Survives a client that cuts its shared memory short while we use it.
 *
 * Entered once, at start, in a process that is the back-end's own: a signal's
 * handler belongs to a whole process, so within another program it is left
 * alone.
 */
#ifndef BACKEND_GUARD_H
#define BACKEND_GUARD_H

/* From now on, memory whose file is gone reads as zeroes instead of ending the
 * process. */
void guard_start(void);

#endif
