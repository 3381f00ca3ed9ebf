/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sentences about what failed.
 *
 * error_record() keeps one for the calling thread, which backend_error()
 * returns to whoever called into the back-end. log_line() writes one to the
 * log of a running server. Any thread. Never on the request path, except where
 * a client has just broken the rules.
 */
#ifndef BACKEND_ERROR_H
#define BACKEND_ERROR_H

/* Keeps the sentence and returns `code`, a negative errno. */
int error_record(int code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The sentence last kept in this thread. */
const char *error_sentence(void);

/* Writes one line to `fd`; a negative fd says nothing. Lines that come too fast
 * or find no room are left out. */
void log_line(int fd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
