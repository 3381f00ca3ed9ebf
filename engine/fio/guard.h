/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks whether the fio that loads the engine lays out its structures like the headers
 * that the engine was compiled with. A distribution's patches may change them without
 * a change of the release's name.
 *
 * The comparisons run in a child process of fio: first the table of options, then a
 * rehearsal. fio may crash there, and nothing that they do has an effect on fio.
 */
#ifndef FIO_GUARD_H
#define FIO_GUARD_H

#include <stdbool.h>

/* True if fio may load the engine; else prints why not, in one sentence. get_ioengine()
 * calls it, in fio's main thread. */
bool fio_guard_admits(void);

/* ---- in the child ----------------------------------------------------------- */

/* Notes what is compared next. If fio's code crashes, the note is the first
 * difference. */
void fio_guard_note(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
/* Ends the child unless the two sides agree on what was noted last. */
void fio_guard_expect(bool agrees);

/* In fio/layout.c: compares the members of struct thread_options with fio's table of
 * options. */
void fio_compare_options(void);
/* In fio/rehearsal.c: checks that fio's code uses struct thread_data, io_u, fio_file
 * and ioengine_ops as our headers lay them out. */
void fio_rehearse(void);

#endif
