/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last error of each thread: one sentence for people.
 *
 * The place that first sees a failure calls error_set() and returns what it
 * returns; callers pass the code on and add nothing. Any thread may call;
 * each sees its own. error_message() is declared in api.h.
 */
#ifndef ERROR_H
#define ERROR_H

/* Records the sentence and returns -code, so that a failing function ends in
 * `return error_set(EPROTO, "...")`. code is a positive errno. */
int error_set(int code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The sentence of the calling thread, put aside while something else is called. */
struct error_kept {
	char sentence[512];
};

struct error_kept error_keep(void);
void error_restore(const struct error_kept *kept);

/* Puts "OBJECT: " in front of the calling thread's sentence, unless it begins
 * so: for rings and command sets, which do not know whose they are. */
void error_name(const char *object);

#endif
