/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A clock that the harness turns; see clock_stub.h. */
#include "clock_stub.h"

#include <time.h>

#define NS_PER_S 1000000000u
/* Loops that wait for a deadline end, whatever the harness does. */
#define EACH_LOOK_NS 100u

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

static uint64_t now_ns;

void time_begin(void)
{
	now_ns = NS_PER_S;
}

void time_pass_ns(uint64_t ns)
{
	now_ns += ns;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	now_ns += EACH_LOOK_NS;
	now->tv_sec = (time_t)(now_ns / NS_PER_S);
	now->tv_nsec = (long)(now_ns % NS_PER_S);
	return 0;
}
