/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last error of each thread, as one sentence for people.
 *
 * The function that first sees a failure calls error_set() and returns its result.
 * Callers pass the code on and add nothing. Any thread may call these functions, and
 * each sees its own sentence. error_message() is declared in api.h.
 */
#ifndef ERROR_H
#define ERROR_H

/* Records the sentence and returns -code, so that a failing function ends in
 * `return error_set(EPROTO, "...")`. code is a positive errno. */
int error_set(int code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The sentence of the calling thread, kept while other functions are called. */
struct error_kept {
	char sentence[512];
};

struct error_kept error_keep(void);
void error_restore(const struct error_kept *kept);

/* Puts "OBJECT: " in front of the calling thread's sentence, unless it begins with
 * OBJECT. Rings and command sets need this, because they do not know their device. */
void error_name(const char *object);

#endif
