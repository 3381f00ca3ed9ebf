/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three threads at one poller whose queue is this program: one polls, one sleeps, and
 * one polls briefly for as long as the test wants. The program counts wake-ups.
 *
 *   poller_turns CASE: ends with 0, or with 1 and a sentence
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library/poller.c"

enum role { POLLS, SLEEPS, IS_BRIEF, NUM_ROLES };

/* A thread, its wait and its request. The numbers are atomic. */
static struct actor {
	pthread_t thread;
	struct waiter waiter;
	int looks;
	int is_held;      /* a look does not return: the thread seems to have no CPU */
	int is_completed; /* its look finds its request done */
} actors[NUM_ROLES];

static struct poller poller;
static __thread struct actor *self;
static int wakes, kicks;

#define GET_NOW(number) __atomic_load_n(&(number), __ATOMIC_SEQ_CST)
#define SET_NOW(number, value) __atomic_store_n(&(number), value, __ATOMIC_SEQ_CST)

/* Replaces libc's function, through which base/futex.h calls the system. */
long syscall(long number, ...)
{
	const uint32_t *word;
	uint32_t operation, value;
	const struct timespec *deadline;
	va_list rest;

	va_start(rest, number);
	word = va_arg(rest, const uint32_t *);
	operation = va_arg(rest, uint32_t);
	value = va_arg(rest, uint32_t);
	deadline = va_arg(rest, const struct timespec *);
	va_end(rest);
	(void)deadline;
	if (operation == FUTEX_WAKE_PRIVATE)
		__atomic_fetch_add(&wakes, 1, __ATOMIC_SEQ_CST);
	else if (GET_NOW(*word) == value)
		usleep(1000);
	return 0;
}

static unsigned int look_once(void *context)
{
	(void)context;
	__atomic_fetch_add(&self->looks, 1, __ATOMIC_SEQ_CST);
	while (GET_NOW(self->is_held))
		usleep(100);
	if (!GET_NOW(self->is_completed))
		return 0;
	poller_wake(&poller, &self->waiter);
	return 1;
}

static unsigned int one_in_flight(void *context)
{
	(void)context;
	return 1;
}

static void count_kick(void *context)
{
	(void)context;
	__atomic_fetch_add(&kicks, 1, __ATOMIC_SEQ_CST);
}

static void nothing(void *context)
{
	(void)context;
}

static void *wait_for_request(void *context)
{
	self = context;
	while (!poller_wait(&poller, &self->waiter, UINT64_MAX))
		;
	return NULL;
}

static void start(enum role role)
{
	if (pthread_create(&actors[role].thread, NULL, wait_for_request, &actors[role]))
		abort();
}

static void end(enum role role)
{
	SET_NOW(actors[role].is_completed, 1);
	SET_NOW(actors[role].is_held, 0);
	pthread_join(actors[role].thread, NULL);
}

static void start_poller(void)
{
	start(POLLS);
	while (!GET_NOW(actors[POLLS].looks))
		usleep(100);
}

static void start_sleeper(void)
{
	start(SLEEPS);
	while (GET_NOW(actors[SLEEPS].waiter.state) != WAITER_SLEEPS)
		usleep(100);
}

static void start_brief(void)
{
	/* The sleeper's brief poll has failed, so the next threads would not try. */
	brief_poll_open(&poller.brief);
	SET_NOW(actors[IS_BRIEF].is_held, 1);
	start(IS_BRIEF);
	while (!GET_NOW(actors[IS_BRIEF].looks))
		usleep(100);
}

static int expect(int is_right, const char *sentence)
{
	if (!is_right)
		fprintf(stderr, "%s (%d wake-ups)\n", sentence, GET_NOW(wakes));
	return !is_right;
}

static int turn_for_a_thread_that_runs(void)
{
	int failed;

	start_poller();
	start_sleeper();
	start_brief();
	end(POLLS);
	failed = expect(!GET_NOW(wakes), "a thread was woken, although another one ran");
	end(IS_BRIEF);
	end(SLEEPS);
	return failed;
}

static int turn_for_a_sleeper(void)
{
	start_poller();
	start_sleeper();
	end(POLLS);
	end(SLEEPS);
	return expect(GET_NOW(wakes) == 1, "the sleeper was not woken once");
}

static int poller_without_cpu(void)
{
	start_poller();
	start_sleeper();
	SET_NOW(actors[POLLS].is_held, 1);
	end(SLEEPS);
	end(POLLS);
	return 0;
}

static int brief_poll_without_cpu(void)
{
	start_poller();
	start_sleeper();
	start_brief();
	end(POLLS);
	end(SLEEPS);
	end(IS_BRIEF);
	return expect(!GET_NOW(wakes), "a thread was woken, although nobody slept");
}

/* As if the contest had found that yields are best for threads that share a CPU. */
static void let_threads_yield(void)
{
	poller.brief.way = 1;
	for (int i = 0; i < BRIEF_POLL_CPUS; i++)
		poller.brief.cpus[i].sharing = 1000;
}

static int kick_before_a_look(void)
{
	struct actor here = { 0 };
	int failed;

	self = &here;
	let_threads_yield();
	failed = expect(!poller_takes_kick(&poller), "a thread alone does not kick");
	SET_NOW(actors[POLLS].is_held, 1);
	start_poller();
	failed |= expect(poller_takes_kick(&poller), "a thread that yields kicks at once");
	failed |= expect(!poller_wait(&poller, &here.waiter, 0) && GET_NOW(kicks) == 1,
			 "the kick was lost");
	end(POLLS);
	return failed;
}

/* The thread whose kick it is gets no CPU. */
static int kick_by_another_thread(void)
{
	int failed;

	let_threads_yield();
	start_poller();
	failed = expect(poller_takes_kick(&poller), "a thread that yields kicks at once");
	while (!GET_NOW(kicks))
		usleep(100);
	end(POLLS);
	return failed;
}

static const struct {
	const char *name;
	int (*run)(void);
} cases[] = {
	{ "turn_for_a_thread_that_runs", turn_for_a_thread_that_runs },
	{ "turn_for_a_sleeper", turn_for_a_sleeper },
	{ "poller_without_cpu", poller_without_cpu },
	{ "brief_poll_without_cpu", brief_poll_without_cpu },
	{ "kick_before_a_look", kick_before_a_look },
	{ "kick_by_another_thread", kick_by_another_thread },
};

int main(int argc, char **argv)
{
	struct poller_source source = { .look = look_once, .in_flight = one_in_flight,
					.kick = count_kick, .check = nothing };

	poller_open(&poller, WAIT_BUSY, 0, &source);
	for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(argv[1], cases[i].name))
			return cases[i].run();
	return 2;
}
