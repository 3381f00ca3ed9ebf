/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ways of waiting; see wait.h. */
#include "wait.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "barrier.h"
#include "clock.h"

/* Empty looks between two glances at the clock: some microseconds. */
#define LOOKS_PER_GLANCE 64

/* The default slack of 50 us swamps the short sleeps that wait=sleepy is for. */
#define TIMER_SLACK_NS 1ul

void wait_open(struct wait *wait, enum wait_kind kind, unsigned int sleepy_poll_us,
	       const struct wait_source *source)
{
	*wait = (struct wait){ .kind = kind, .source = *source,
			       .old_timer_slack_ns = -1 };
	wait->sleep_ns = sleepy_poll_us * (uint32_t)NS_PER_US;
	wait_enter(wait);
}

void wait_close(struct wait *wait)
{
	wait_leave(wait);
}

void wait_enter(struct wait *wait)
{
	if (wait->kind != WAIT_SLEEPY)
		return;
	wait->old_timer_slack_ns = prctl(PR_GET_TIMERSLACK);
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
}

void wait_leave(struct wait *wait)
{
	if (wait->old_timer_slack_ns >= 0)
		prctl(PR_SET_TIMERSLACK, (unsigned long)wait->old_timer_slack_ns);
	wait->old_timer_slack_ns = -1;
}

const char *wait_name(enum wait_kind kind)
{
	static const char *const names[] = { "event", "busy", "sleepy" };

	return names[kind];
}

static unsigned int look(struct wait *wait, unsigned int before)
{
	unsigned int found = wait->source.look(wait->source.context);

	wait->counters.looks++;
	wait->counters.empty_looks += found == before;
	return found;
}

/* ---- busy ---------------------------------------------------------------- */

static unsigned int wait_busy(struct wait *wait, unsigned int min,
			      unsigned int found, uint64_t deadline_ns)
{
	unsigned int looks = 0;

	while (found < min) {
		cpu_relax();
		found = look(wait, found);
		if (++looks % LOOKS_PER_GLANCE == 0 &&
		    clock_now_ns() >= deadline_ns)
			break;
	}
	return found;
}

/* ---- sleepy -------------------------------------------------------------- */

static uint64_t sleep_once(struct wait *wait, uint64_t start_ns, uint64_t length_ns)
{
	struct timespec length = { .tv_sec = (time_t)(length_ns / NS_PER_S),
				   .tv_nsec = (long)(length_ns % NS_PER_S) };
	uint64_t slept_ns, now_ns;

	clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
	now_ns = clock_now_ns();
	slept_ns = now_ns - start_ns;
	wait->counters.sleeps++;
	wait->counters.sleep_ns += slept_ns;
	if (slept_ns > length_ns)
		wait->counters.oversleep_ns += slept_ns - length_ns;
	return now_ns;
}

static unsigned int wait_sleepy(struct wait *wait, unsigned int min,
				unsigned int found, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns();

	while (found < min && now_ns < deadline_ns) {
		uint64_t left_ns = deadline_ns - now_ns;

		now_ns = sleep_once(wait, now_ns, left_ns < wait->sleep_ns ?
					  left_ns : wait->sleep_ns);
		found = look(wait, found);
	}
	return found;
}

/* ---- event --------------------------------------------------------------- */

/* Back-ends turn the eventfd non-blocking, and the flag is shared: poll()
 * first, always. Reading empties the counter. */
static void take_calls(struct wait *wait)
{
	for (unsigned int i = 0; i < wait->source.num_eventfds; i++) {
		uint64_t calls;

		if (wait->source.fds[i].revents & POLLIN &&
		    read(wait->source.fds[i].fd, &calls, sizeof(calls)) > 0)
			wait->counters.calls += calls;
	}
}

static int block(struct wait *wait, uint64_t start_ns, uint64_t deadline_ns)
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

static unsigned int wait_event(struct wait *wait, unsigned int min,
			       unsigned int found, uint64_t deadline_ns)
{
	while (found < min) {
		uint64_t now_ns = clock_now_ns();
		int ready = 1;

		if (now_ns >= deadline_ns)
			break;
		if (!wait->source.ask_calls(wait->source.context))
			ready = block(wait, now_ns, deadline_ns);
		wait->source.refuse_calls(wait->source.context);
		found = look(wait, found);
		if (ready < 0 || has_hangup(wait))
			break;
	}
	return found;
}

unsigned int wait_until(struct wait *wait, unsigned int min, uint64_t deadline_ns)
{
	unsigned int found = wait->source.look(wait->source.context);

	wait->counters.looks++;
	wait->counters.empty_looks += !found;
	if (found >= min)
		return found;
	switch (wait->kind) {
	case WAIT_BUSY:
		return wait_busy(wait, min, found, deadline_ns);
	case WAIT_SLEEPY:
		return wait_sleepy(wait, min, found, deadline_ns);
	default:
		return wait_event(wait, min, found, deadline_ns);
	}
}
