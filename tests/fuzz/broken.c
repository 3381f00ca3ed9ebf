/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a harness ends the run; see input.h. A fuzzer takes the abort for a crash. */
#include <stdio.h>
#include <stdlib.h>

void fuzz_broken(const char *promise) __attribute__((noreturn));

void fuzz_broken(const char *promise)
{
	fprintf(stderr, "A promise is broken: %s\n", promise);
	abort();
}
