/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes to eventfds that a timer of the calling thread can interrupt. This is
 * on the request path.
 *
 * The timer sends a real-time signal that nothing else uses in this process.
 * The thread that the signal interrupts runs the handler, so compiler ordering
 * is enough for the variables that both use.
 */
#include "base/caller.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "base/barrier.h"

struct caller {
	/* Also used by the signal handler. */
	volatile sig_atomic_t is_calling;
	volatile sig_atomic_t is_armed;
	bool has_timer;
	timer_t timer;
};

static __thread struct caller caller;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int signal_number; /* 0: none is free */

enum { LIMIT_NS = 10000000, STRICT_LIMIT_NS = 200000 };

static bool is_strict; /* atomic; set once a client has made us wait */

static void arm(struct caller *me)
{
	const struct itimerspec limit = {
		.it_value.tv_nsec = shared_read(&is_strict) ? STRICT_LIMIT_NS :
							      LIMIT_NS,
	};

	me->is_armed = !timer_settime(me->timer, 0, &limit, NULL);
}

/* The write may not have begun yet. Then the next signal interrupts it. */
static void interrupt(int number, siginfo_t *info, void *context)
{
	struct caller *me = info->si_value.sival_ptr;
	int saved_errno = errno;

	(void)number, (void)context;
	me->is_armed = false;
	if (me->is_calling)
		arm(me);
	errno = saved_errno;
}

/* Without SA_RESTART, an interrupted write returns with EINTR. */
static void take_free_signal(void)
{
	const struct sigaction action = { .sa_sigaction = interrupt,
					  .sa_flags = SA_SIGINFO };
	struct sigaction current;
	int number;

	for (number = SIGRTMAX; number >= SIGRTMIN; number--)
		if (!sigaction(number, NULL, &current) &&
		    current.sa_handler == SIG_DFL &&
		    !sigaction(number, &action, NULL)) {
			signal_number = number;
			return;
		}
}

static void open_timer(struct caller *me)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID };
	sigset_t ours;

	pthread_once(&once, take_free_signal);
	if (!signal_number)
		return;
	event.sigev_signo = signal_number;
	event.sigev_value.sival_ptr = me;
	event._sigev_un._tid = gettid();
	sigemptyset(&ours);
	sigaddset(&ours, signal_number);
	pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
	me->has_timer = !timer_create(CLOCK_MONOTONIC, &event, &me->timer);
}

/* If there is no timer, at least a full counter is not written to. */
static bool may_call(struct caller *me, int event_fd)
{
	struct pollfd room = { .fd = event_fd, .events = POLLOUT };

	if (!me->has_timer)
		open_timer(me);
	if (me->has_timer)
		arm(me);
	return me->is_armed ||
	       (poll(&room, 1, 0) == 1 && room.revents & POLLOUT);
}

int caller_signal(int event_fd)
{
	struct caller *me = &caller;
	const uint64_t one = 1;
	ssize_t written;

	me->is_calling = true;
	if (unlikely(!me->is_armed) && !may_call(me, event_fd)) {
		me->is_calling = false;
		return 0;
	}
	written = write(event_fd, &one, sizeof(one));
	me->is_calling = false;
	if (likely(written == (ssize_t)sizeof(one)))
		return 1;
	if (errno != EINTR)
		return 0;
	shared_write(&is_strict, true);
	return -ETIMEDOUT;
}

void caller_end(void)
{
	if (caller.has_timer)
		timer_delete(caller.timer);
	caller = (struct caller){ 0 };
}
