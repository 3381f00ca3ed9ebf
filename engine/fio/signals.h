/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second ^C. fio's own handler only marks the jobs, and does nothing the second
 * time. So once jobs are marked, our handler of SIGINT and SIGTERM counts the signals
 * that still come, and calls fio's.
 */
#ifndef FIO_SIGNALS_H
#define FIO_SIGNALS_H

/* Makes the count, which all processes of this fio share. Called before they fork. */
void fio_signals_prepare(void);
/* Counts signals from now on. Async-signal-safe; any thread; a second call in a process
 * does nothing. */
void fio_signals_count(void);
/* The number that came to any process of this fio. */
unsigned int fio_signals_counted(void);

#endif
