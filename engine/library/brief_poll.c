/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Polls for a moment before a sleep; see library/brief_poll.h. */
#include "library/brief_poll.h"

#include <sched.h>
#include <string.h>

#include "base/barrier.h"
#include "base/clock.h"

/* How long a thread polls before it sleeps: about the time that it takes to fall
 * asleep, to be woken and to get the CPU back. */
#define BRIEF_POLL_NS (20 * NS_PER_US)
#define LOOKS_PER_CLOCK 8
/* Each spin that succeeds adds 1 to the score, and each that fails subtracts 1. After
 * a failure at 0 the next 32 waits do not spin, then one spins again. */
#define MAX_SCORE 8
#define MIN_SCORE (-32)
/* After so many yields in which no other thread polled here, the CPU is not shared. */
#define MAX_SHARING 16
/* The threads that share the CPU may need several turns: to return from their waits, to
 * submit, and to let the back-end run if it shares the CPU. */
#define LEAST_YIELDS 4
/* The contest hears of one in this many waits, because it needs the time. */
#define WAITS_PER_NOTE 16

enum brief_poll_way {
	WAY_SPIN,
	WAY_YIELD,
	WAY_SLEEP,
	NUM_WAYS,
};

/* Its address identifies the thread. */
static __thread char own;

/* Nothing else is ordered by these numbers, so all accesses are relaxed, and an update
 * that is lost to another thread's does no harm. */
#define GET(member) __atomic_load_n(&(member), __ATOMIC_RELAXED)
#define SET(member, value) __atomic_store_n(&(member), value, __ATOMIC_RELAXED)

/* ---- sharing ------------------------------------------------------------------- */

/* Returns true if another thread has polled on this CPU since the calling thread did. */
static bool note_thread(struct brief_poll_cpu *cpu)
{
	uintptr_t last = GET(cpu->last_thread);

	if (last == (uintptr_t)&own)
		return false;
	SET(cpu->last_thread, (uintptr_t)&own);
	if (last)
		SET(cpu->sharing, MAX_SHARING);
	return last;
}

static struct brief_poll_cpu *this_cpu(struct brief_poll *brief)
{
	int number = sched_getcpu();

	return &brief->cpus[number < 0 ? 0 : number % BRIEF_POLL_CPUS];
}

static struct brief_poll_cpu *arrive(struct brief_poll *brief)
{
	struct brief_poll_cpu *cpu = this_cpu(brief);

	note_thread(cpu);
	return cpu;
}

static void yield(struct brief_poll_cpu *cpu)
{
	int sharing = GET(cpu->sharing);

	sched_yield();
	if (!note_thread(cpu) && sharing > 0)
		SET(cpu->sharing, sharing - 1);
}

/* ---- polling ------------------------------------------------------------------- */

static bool may_spin(struct brief_poll_cpu *cpu)
{
	int score = GET(cpu->score);

	/* A score below 0 counts the waits until the next try. */
	if (score < 0)
		SET(cpu->score, score + 1);
	return score >= 0;
}

static void learn(struct brief_poll_cpu *cpu, bool is_over)
{
	int score = GET(cpu->score);

	if (is_over && score < MAX_SCORE)
		SET(cpu->score, score + 1);
	else if (!is_over)
		SET(cpu->score, score ? score - 1 : MIN_SCORE);
}

/* The clock is not read before the first looks, because a fast back-end has answered
 * by then. */
static bool spin(bool (*look)(void *), void *context)
{
	uint64_t now_ns, until_ns = 0;

	do {
		for (unsigned int i = 0; i < LOOKS_PER_CLOCK; i++) {
			cpu_relax();
			if (look(context))
				return true;
		}
		now_ns = clock_now_ns();
		if (!until_ns)
			until_ns = now_ns + BRIEF_POLL_NS;
	} while (now_ns < until_ns);
	return false;
}

static bool spin_and_learn(struct brief_poll_cpu *cpu, bool (*look)(void *),
			   void *context)
{
	bool is_over;

	if (!may_spin(cpu))
		return false;
	is_over = spin(look, context);
	learn(cpu, is_over);
	return is_over;
}

static bool yield_in_turn(struct brief_poll_cpu *cpu, bool (*look)(void *),
			  void *context)
{
	uint64_t until_ns = clock_now_ns() + BRIEF_POLL_NS;

	for (unsigned int i = 0; i < LEAST_YIELDS || clock_now_ns() < until_ns; i++) {
		yield(cpu);
		if (look(context))
			return true;
	}
	return false;
}

/* ---- the contest of the ways --------------------------------------------------- */

/* One thread at a time notes. What it wrote is acquired by the next one. */
static void note_progress(struct brief_poll *brief, struct brief_poll_progress progress)
{
	if (__atomic_exchange_n(&brief->is_noting, true, __ATOMIC_ACQUIRE))
		return;
	contest_note(&brief->contest, clock_now_ns(), progress.done,
		     progress.in_flight);
	SET(brief->way, brief->contest.current);
	__atomic_store_n(&brief->is_noting, false, __ATOMIC_RELEASE);
}

static unsigned int choose_way(struct brief_poll *brief, struct brief_poll_cpu *cpu,
			       struct brief_poll_progress progress)
{
	unsigned int waits = GET(cpu->waits) + 1;

	if (GET(cpu->sharing) <= 0)
		return WAY_SPIN;
	SET(cpu->waits, waits);
	if (waits % WAITS_PER_NOTE == 0)
		note_progress(brief, progress);
	return GET(brief->way);
}

bool brief_poll(struct brief_poll *brief, struct brief_poll_progress progress,
		bool (*look)(void *context), void *context)
{
	struct brief_poll_cpu *cpu = arrive(brief);

	switch (choose_way(brief, cpu, progress)) {
	case WAY_SPIN:
		return spin_and_learn(cpu, look, context);
	case WAY_YIELD:
		return yield_in_turn(cpu, look, context);
	default:
		return false;
	}
}

void brief_poll_open(struct brief_poll *brief)
{
	memset(brief, 0, sizeof(*brief));
	contest_open(&brief->contest, NUM_WAYS);
}

bool brief_poll_yields(struct brief_poll *brief)
{
	return GET(brief->way) == WAY_YIELD && GET(this_cpu(brief)->sharing) > 0;
}

void brief_poll_give_way(struct brief_poll *brief)
{
	struct brief_poll_cpu *cpu = arrive(brief);

	if (GET(cpu->sharing) > 0)
		yield(cpu);
}
