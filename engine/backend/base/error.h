/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sentences about failures.
 *
 * error_record() keeps a sentence for the calling thread, and backend_error()
 * returns it to the program. log_line() writes a line to the log of a running
 * server. Any thread may call them. They are not called on the request path,
 * except after a client has broken the rules.
 */
#ifndef BACKEND_ERROR_H
#define BACKEND_ERROR_H

/* Keeps the sentence and returns `code`, a negative errno. */
int error_record(int code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The last sentence of the calling thread. */
const char *error_sentence(void);

/* Writes one line to `fd`; with a negative fd it does nothing. A line is
 * dropped if there were too many in this second or if the write would wait. */
void log_line(int fd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
