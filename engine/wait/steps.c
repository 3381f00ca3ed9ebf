/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps that ways of waiting consist of; see wait/steps.h. */
#include "wait/steps.h"

#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/eventfd.h"

/* The default slack of 50 us is longer than a short sleep. */
#define TIMER_SLACK_NS 1ul

#define LOOKS_PER_CLOCK 64

/* Between two looks there is one more pause for each 8 requests in flight, and there
 * are 16 at most. They take a few hundred nanoseconds, where a request takes tens of
 * microseconds. */
#define IN_FLIGHT_PER_PAUSE 8
#define MOST_PAUSES 16

unsigned int wait_look(struct wait *wait, unsigned int before)
{
	unsigned int found = wait->source.look(wait->source.context);

	wait->counters.looks++;
	wait->counters.empty_looks += found == before;
	return found;
}

void wait_pause(const struct wait *wait)
{
	const struct wait_source *source = &wait->source;
	unsigned int pauses = 1;

	if (source->in_flight)
		pauses += source->in_flight(source->context) / IN_FLIGHT_PER_PAUSE;
	for (unsigned int i = 0; i < pauses && i < MOST_PAUSES; i++)
		cpu_relax();
}

unsigned int wait_look_on(struct wait *wait, unsigned int min, unsigned int before)
{
	unsigned int found = before;

	for (unsigned int i = 0; i < LOOKS_PER_CLOCK && found < min; i++) {
		wait_pause(wait);
		found = wait_look(wait, found);
	}
	return found;
}

static void make_sleeps_precise(struct wait *wait)
{
	wait->old_timer_slack_ns = prctl(PR_GET_TIMERSLACK);
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
}

uint64_t wait_sleep(struct wait *wait, uint64_t start_ns, uint64_t length_ns)
{
	struct timespec length = { .tv_sec = (time_t)(length_ns / NS_PER_S),
				   .tv_nsec = (long)(length_ns % NS_PER_S) };
	uint64_t slept_ns, now_ns;

	if (wait->old_timer_slack_ns < 0)
		make_sleeps_precise(wait);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
	now_ns = clock_now_ns();
	slept_ns = now_ns - start_ns;
	wait->counters.sleeps++;
	wait->counters.sleep_ns += slept_ns;
	if (slept_ns > length_ns)
		wait->counters.oversleep_ns += slept_ns - length_ns;
	return now_ns;
}

/* ---- the eventfd --------------------------------------------------------- */

static void take_calls(struct wait *wait)
{
	for (unsigned int i = 0; i < wait->source.num_eventfds; i++)
		if (wait->source.fds[i].revents & POLLIN)
			wait->counters.calls += eventfd_take(wait->source.fds[i].fd);
}

static int poll_fds(struct wait *wait, uint64_t start_ns, uint64_t deadline_ns)
{
	uint64_t left_ns = deadline_ns - start_ns;
	struct timespec left = { .tv_sec = (time_t)(left_ns / NS_PER_S),
				 .tv_nsec = (long)(left_ns % NS_PER_S) };
	int ready = ppoll(wait->source.fds, wait->source.num_fds, &left, NULL);

	wait->counters.polls++;
	wait->counters.poll_ns += clock_now_ns() - start_ns;
	if (ready > 0)
		take_calls(wait);
	return ready;
}

static bool has_hangup(const struct wait *wait)
{
	for (unsigned int i = wait->source.num_eventfds; i < wait->source.num_fds; i++)
		if (wait->source.fds[i].revents)
			return true;
	return false;
}

bool wait_block(struct wait *wait, uint64_t start_ns, uint64_t deadline_ns)
{
	int ready = 1;

	if (!wait->source.ask_calls(wait->source.context))
		ready = poll_fds(wait, start_ns, deadline_ns);
	wait->source.refuse_calls(wait->source.context);
	return ready >= 0 && !has_hangup(wait);
}
