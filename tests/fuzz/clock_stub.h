/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The time of a target: it passes only as far as the harness says, so no time-out takes
 * time, and each input does the same each time. The linker puts clock_gettime() of
 * clock_stub.c in the place of the real one.
 */
#ifndef FUZZ_CLOCK_STUB_H
#define FUZZ_CLOCK_STUB_H

#include <stdint.h>

void time_begin(void);
void time_pass_ns(uint64_t ns);

#endif
