/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Carries out one step after the other; see wait/adaptive_wait.h. */
#include "wait/adaptive_wait.h"

#include <sched.h>

#include "base/clock.h"
#include "wait/steps.h"

/* One in this many short waits is timed. To read the clock in each of them would
 * take one percent of the shortest waits. */
#define UNTIMED_WAITS 16

/* The clock that measures the CPU time of a step. To ask for CPU time is a system
 * call, so a step that spins, which uses the CPU all the time, is measured by the
 * ordinary clock. */
static uint64_t cpu_time_ns(const struct wait *wait,
				const struct adaptive_step *step)
{
	if (wait->adaptive.cpu_percent >= 100)
		return 0;
	return step->action == ADAPTIVE_SPIN ? clock_now_ns() : clock_cpu_ns();
}

static unsigned int spin(struct wait *wait, unsigned int min, unsigned int found,
			 uint64_t end_ns)
{
	wait->counters.spins++;
	do {
		found = wait_look_on(wait, min, found);
	} while (found < min && clock_now_ns() < end_ns);
	return found;
}

static unsigned int yield(struct wait *wait, unsigned int min, unsigned int found,
			  uint64_t end_ns)
{
	do {
		wait->counters.yields++;
		sched_yield();
		found = wait_look(wait, found);
	} while (found < min && clock_now_ns() < end_ns);
	return found;
}

/* False: the caller must find out why the wait ended. */
static bool take(struct wait *wait, const struct adaptive_step *step,
		 unsigned int min, unsigned int *found, uint64_t end_ns)
{
	uint64_t now_ns = wait->adaptive.now_ns;
	bool goes_on = true;

	switch (step->action) {
	case ADAPTIVE_SPIN:
		*found = spin(wait, min, *found, end_ns);
		return true;
	case ADAPTIVE_YIELD:
		*found = yield(wait, min, *found, end_ns);
		return true;
	case ADAPTIVE_SLEEP:
		wait_sleep(wait, now_ns, end_ns - now_ns);
		break;
	default:
		goes_on = wait_block(wait, now_ns, end_ns);
	}
	*found = wait_look(wait, *found);
	return goes_on;
}

static bool take_and_learn(struct wait *wait, unsigned int min,
			   unsigned int *found, uint64_t deadline_ns)
{
	struct adaptive *adaptive = &wait->adaptive;
	struct adaptive_step step = adaptive_next(adaptive);
	uint64_t left_ns = deadline_ns - adaptive->now_ns;
	uint64_t before_ns = cpu_time_ns(wait, &step);
	uint64_t end_ns = adaptive->now_ns +
			  (step.length_ns < left_ns ? step.length_ns : left_ns);
	bool goes_on = take(wait, &step, min, found, end_ns);
	struct adaptive_outcome outcome = {
		.cpu_ns = cpu_time_ns(wait, &step) - before_ns,
		.now_ns = clock_now_ns(),
		.is_over = *found >= min };

	adaptive_learn(adaptive, &outcome);
	return goes_on;
}

/* If the current step is to spin, and the wait will be a short one, the time need
 * not be read for each wait. */
static bool may_go_untimed(struct wait *wait)
{
	if (wait->adaptive.step.action != ADAPTIVE_SPIN ||
	    wait->adaptive.cpu_percent < 100)
		return false;
	return ++wait->untimed_waits % UNTIMED_WAITS;
}

unsigned int wait_adaptive(struct wait *wait, unsigned int min, unsigned int found,
			   uint64_t deadline_ns)
{
	const struct wait_source *source = &wait->source;
	bool goes_on = true;

	if (may_go_untimed(wait))
		found = wait_look_on(wait, min, found);
	if (found >= min)
		return found;
	adaptive_begin(&wait->adaptive, clock_now_ns(),
		       __atomic_load_n(source->completed, __ATOMIC_RELAXED),
		       source->in_flight(source->context));
	while (goes_on && found < min && wait->adaptive.now_ns < deadline_ns)
		goes_on = take_and_learn(wait, min, &found, deadline_ns);
	return found;
}
