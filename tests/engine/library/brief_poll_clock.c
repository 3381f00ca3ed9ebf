/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * brief_poll.c with a clock, a CPU and a scheduler of the test's own. The variables
 * and the functions are for test_brief_poll.py.
 */
#include <sched.h>
#include <time.h>

#include "library/brief_poll.c"

uint64_t now_ns = 1, yield_ns = 1000, look_ns = 100;
unsigned int num_yields, num_looks, looks_needed;
static struct brief_poll brief;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	now->tv_sec = (time_t)(now_ns / NS_PER_S);
	now->tv_nsec = (long)(now_ns % NS_PER_S);
	return 0;
}

int sched_getcpu(void)
{
	return 0;
}

int sched_yield(void)
{
	num_yields++;
	now_ns += yield_ns;
	return 0;
}

static bool look_again(void *context)
{
	(void)context;
	num_looks++;
	now_ns += look_ns;
	return looks_needed && num_looks >= looks_needed;
}

void open_all(void)
{
	brief_poll_open(&brief);
}

bool wait_once(uint64_t done)
{
	struct brief_poll_progress progress = { .done = done, .in_flight = 8 };

	num_looks = num_yields = 0;
	return brief_poll(&brief, progress, look_again, NULL);
}

void give_way(void)
{
	num_yields = 0;
	brief_poll_give_way(&brief);
}

void use_way(unsigned int way)
{
	brief.way = way;
}

unsigned int way_in_use(void)
{
	return brief.way;
}
