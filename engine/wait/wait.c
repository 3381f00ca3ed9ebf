/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ways of waiting; see wait/wait.h. */
#include "wait/wait.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/error.h"
#include "wait/adaptive_wait.h"
#include "wait/steps.h"

#define DEFAULT_SLEEPY_POLL_US 50

void wait_open(struct wait *wait, enum wait_kind kind, unsigned int sleepy_poll_us,
	       const struct wait_source *source)
{
	*wait = (struct wait){ .kind = kind, .source = *source,
			       .old_timer_slack_ns = -1 };
	wait->sleep_ns = sleepy_poll_us * (uint32_t)NS_PER_US;
	adaptive_open(&wait->adaptive, 100);
}

void wait_limit_cpu(struct wait *wait, unsigned int percent)
{
	adaptive_open(&wait->adaptive, percent);
}

void wait_leave(struct wait *wait)
{
	if (wait->old_timer_slack_ns >= 0)
		prctl(PR_SET_TIMERSLACK, (unsigned long)wait->old_timer_slack_ns);
	wait->old_timer_slack_ns = -1;
}

/* ---- names ----------------------------------------------------------------- */

const char *wait_name(int kind)
{
	static const char *const names[] = { "default", "event", "busy", "sleepy",
					     "adaptive" };

	return kind >= WAIT_DEFAULT && kind <= WAIT_ADAPTIVE ? names[kind] : NULL;
}

int wait_named(const char *name)
{
	for (int kind = WAIT_DEFAULT; kind <= WAIT_ADAPTIVE; kind++)
		if (!strcmp(name, wait_name(kind)))
			return kind;
	return error_set(EINVAL, "wait=%s: use one of default, event, busy, sleepy, "
			 "adaptive", name);
}

void wait_choose(enum wait_kind *kind, unsigned int *sleepy_poll_us)
{
	if (!*kind && !*sleepy_poll_us)
		*sleepy_poll_us = engine_default_sleepy_poll_us();
	if (!*kind)
		*kind = *sleepy_poll_us ? WAIT_SLEEPY : WAIT_ADAPTIVE;
	if (*kind == WAIT_SLEEPY && !*sleepy_poll_us)
		*sleepy_poll_us = DEFAULT_SLEEPY_POLL_US;
}

/* ---- waits ------------------------------------------------------------------ */

static unsigned int wait_busy(struct wait *wait, unsigned int min,
			      unsigned int found, uint64_t deadline_ns)
{
	do {
		found = wait_look_on(wait, min, found);
	} while (found < min && clock_now_ns() < deadline_ns);
	return found;
}

static unsigned int wait_sleepy(struct wait *wait, unsigned int min,
				unsigned int found, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns();

	while (found < min && now_ns < deadline_ns) {
		uint64_t left_ns = deadline_ns - now_ns;

		now_ns = wait_sleep(wait, now_ns, left_ns < wait->sleep_ns ?
					  left_ns : wait->sleep_ns);
		found = wait_look(wait, found);
	}
	return found;
}

static unsigned int wait_event(struct wait *wait, unsigned int min,
			       unsigned int found, uint64_t deadline_ns)
{
	bool goes_on = true;

	while (found < min && goes_on) {
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= deadline_ns)
			break;
		goes_on = wait_block(wait, now_ns, deadline_ns);
		found = wait_look(wait, found);
	}
	return found;
}

unsigned int wait_until(struct wait *wait, unsigned int min, uint64_t deadline_ns)
{
	unsigned int found;

	/* The caller has just looked and found nothing. */
	if (wait->kind == WAIT_BUSY)
		wait_pause(wait);
	found = wait_look(wait, 0);

	if (found >= min)
		return found;
	switch (wait->kind) {
	case WAIT_BUSY:
		return wait_busy(wait, min, found, deadline_ns);
	case WAIT_SLEEPY:
		return wait_sleepy(wait, min, found, deadline_ns);
	case WAIT_ADAPTIVE:
		return wait_adaptive(wait, min, found, deadline_ns);
	default:
		return wait_event(wait, min, found, deadline_ns);
	}
}
