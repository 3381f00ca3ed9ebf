/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the fio that loads the engine lays out its structures as the headers
 * do that the engine was compiled with. A distribution's patches may change
 * them and leave the release's name as it is.
 *
 * The comparisons run in a child of fio, in this order: the table of options,
 * then a rehearsal. fio may crash there, and nothing of what they do stays.
 */
#ifndef FIO_GUARD_H
#define FIO_GUARD_H

#include <stdbool.h>

/* Says in one sentence why not. Called by get_ioengine(), in fio's main thread. */
bool fio_guard_admits(void);

/* ---- in the child ----------------------------------------------------------- */

/* Notes what is compared next: it is the first difference if fio's code stops
 * there. */
void fio_guard_note(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
/* Ends the child unless the two sides agree on what was noted last. */
void fio_guard_expect(bool agrees);

/* fio/layout.c: where fio's table of options says that struct thread_options
 * has its members. */
void fio_compare_options(void);
/* fio/rehearsal.c: whether fio's code finds its way in struct thread_data, io_u,
 * fio_file and ioengine_ops as we fill them in. */
void fio_rehearse(void);

#endif
