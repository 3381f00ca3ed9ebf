/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides what a wait does next; see wait/adaptive.h. */
#include "wait/adaptive.h"

#include "base/clock.h"

/* The first way is hardly ever bad: on a core of its own, a thread that yields polls
 * half as often as one that spins, and it gives the core to other threads. The others
 * follow in the order in which they are likely to be better. A thread that blocks is
 * never disastrously late, but its completions are: a call and a wake-up take 5 to
 * 50 us. */
enum { BLOCK_WAY = 2 };

static const struct {
	const char *name;
	int action;
	uint64_t sleep_ns;
} ways[] = {
	{ "yield", ADAPTIVE_YIELD, 0 },
	{ "spin", ADAPTIVE_SPIN, 0 },
	[BLOCK_WAY] = { "block", ADAPTIVE_BLOCK, 0 },
	{ "sleep 20 us", ADAPTIVE_SLEEP, 20 * NS_PER_US },
	{ "sleep 50 us", ADAPTIVE_SLEEP, 50 * NS_PER_US },
	{ "sleep 5 us", ADAPTIVE_SLEEP, 5 * NS_PER_US },
	{ "sleep 10 us", ADAPTIVE_SLEEP, 10 * NS_PER_US },
	{ "sleep 100 us", ADAPTIVE_SLEEP, 100 * NS_PER_US },
	{ "sleep 200 us", ADAPTIVE_SLEEP, ADAPTIVE_LONGEST_SLEEP_NS },
};

#define NUM_WAYS (sizeof(ways) / sizeof(ways[0]))

/* A wait that has polled for 20 times the cost of a wake-up loses only 5% when it
 * blocks now. */
#define PATIENCE_WAKES 20
#define LEAST_PATIENCE_NS ADAPTIVE_LONGEST_SLEEP_NS
#define MOST_PATIENCE_NS (2 * NS_PER_MS)
/* The assumed cost of a wake-up until one was measured. */
#define UNKNOWN_WAKE_NS (20 * NS_PER_US)

#define ESTIMATE_MEMORY 8

/* A sleep shorter than this would consist of overhead only. */
#define SHORTEST_REST_NS (2 * NS_PER_US)
/* The balance is the CPU time that waiting may still use. It does not rise above
 * this limit, and polling stops when it falls below minus this limit. */
#define BALANCE_LIMIT_NS (2 * (int64_t)NS_PER_MS)
/* The balance does not fall below this, because it could take for ever to rise
 * again. */
#define LOWEST_BALANCE_NS (-2 * BALANCE_LIMIT_NS)

void adaptive_open(struct adaptive *adaptive, unsigned int cpu_percent)
{
	*adaptive = (struct adaptive){ .cpu_percent = cpu_percent };
	contest_open(&adaptive->contest, NUM_WAYS);
	for (unsigned int i = 0; i < NUM_WAYS; i++)
		adaptive->contest.ways[i].shortest_ns = ways[i].sleep_ns;
	/* With adaptive_cpu=0 every wait blocks, and there is no contest. */
	if (!cpu_percent)
		contest_replace_first(&adaptive->contest, BLOCK_WAY);
}

const char *adaptive_way_name(unsigned int way)
{
	return ways[way].name;
}

/* ---- what is measured -------------------------------------------------------- */

/* A sample above twice the mean counts as twice the mean. Otherwise a single stall
 * of a millisecond would distort the mean for the next twenty requests. */
static void estimate_add(struct adaptive_estimate *estimate, uint64_t sample_ns)
{
	uint64_t most_ns = 2 * (estimate->mean_ns + NS_PER_US);
	int64_t off_ns, distance_ns, spread_ns = (int64_t)estimate->spread_ns;

	if (!estimate->mean_ns) {
		estimate->mean_ns = sample_ns;
		return;
	}
	off_ns = (int64_t)((sample_ns < most_ns ? sample_ns : most_ns) -
			   estimate->mean_ns);
	distance_ns = off_ns < 0 ? -off_ns : off_ns;
	estimate->mean_ns += (uint64_t)(off_ns / ESTIMATE_MEMORY);
	estimate->spread_ns += (uint64_t)((distance_ns - spread_ns) / ESTIMATE_MEMORY);
}

uint64_t adaptive_wake_ns(const struct adaptive *adaptive)
{
	uint64_t wake_ns = adaptive->oversleep.mean_ns;

	if (!adaptive->blocked.mean_ns && !wake_ns)
		return UNKNOWN_WAKE_NS;
	if (adaptive->blocked.mean_ns > adaptive->arrival.mean_ns + wake_ns)
		wake_ns = adaptive->blocked.mean_ns - adaptive->arrival.mean_ns;
	return wake_ns;
}

uint64_t adaptive_patience_ns(const struct adaptive *adaptive)
{
	uint64_t patience_ns = PATIENCE_WAKES * adaptive_wake_ns(adaptive);

	if (patience_ns < LEAST_PATIENCE_NS)
		return LEAST_PATIENCE_NS;
	return patience_ns > MOST_PATIENCE_NS ? MOST_PATIENCE_NS : patience_ns;
}

/* When a thread finds a completion after a sleep, it cannot know when the
 * completion arrived, only that the expected time was too long. If the length of
 * the sleep counted as the time of arrival, each sleep would make the next one
 * longer. */
static void learn_arrival(struct adaptive *adaptive, uint64_t waited_ns)
{
	switch (adaptive->step.action) {
	case ADAPTIVE_SPIN:
	case ADAPTIVE_YIELD:
		estimate_add(&adaptive->arrival, waited_ns);
		break;
	case ADAPTIVE_SLEEP:
		if (adaptive->has_rested)
			adaptive->arrival.mean_ns -=
				adaptive->arrival.mean_ns / (2 * ESTIMATE_MEMORY);
		break;
	default:
		if (waited_ns < LEAST_PATIENCE_NS)
			estimate_add(&adaptive->blocked, waited_ns);
	}
}

/* The longest time that the last step should have taken; 0: not known. */
static uint64_t usual_ns(const struct adaptive *adaptive)
{
	if (adaptive->step.action == ADAPTIVE_BLOCK)
		return adaptive->block_step.mean_ns + 2 * adaptive->block_step.spread_ns;
	if (adaptive->step.action == ADAPTIVE_SLEEP && adaptive->oversleep.mean_ns)
		return adaptive->step.length_ns + adaptive->oversleep.mean_ns;
	return 0;
}

/* The time by which the system woke a thread too late adds nothing to the balance.
 * Otherwise each request would use more CPU time the later the system wakes it. */
static void skip_stall(struct adaptive *adaptive, uint64_t took_ns)
{
	uint64_t most_ns = usual_ns(adaptive);

	if (most_ns && took_ns > most_ns)
		adaptive->balanced_ns += took_ns - most_ns;
}

static void learn_step(struct adaptive *adaptive, uint64_t took_ns)
{
	uint64_t asked_ns = adaptive->step.length_ns;

	if (adaptive->step.action == ADAPTIVE_BLOCK)
		estimate_add(&adaptive->block_step, took_ns);
	if (adaptive->step.action == ADAPTIVE_SLEEP)
		estimate_add(&adaptive->oversleep,
			     took_ns > asked_ns ? took_ns - asked_ns : 0);
}

void adaptive_learn(struct adaptive *adaptive,
		    const struct adaptive_outcome *outcome)
{
	uint64_t took_ns = outcome->now_ns - adaptive->now_ns, waited_ns;

	skip_stall(adaptive, took_ns);
	learn_step(adaptive, took_ns);
	adaptive->now_ns = outcome->now_ns;
	adaptive->balance_ns -= (int64_t)outcome->cpu_ns;
	if (!outcome->is_over)
		return;
	waited_ns = outcome->now_ns - adaptive->begun_ns;
	learn_arrival(adaptive, waited_ns);
	/* The step itself may have been too long, such as a yield to other threads. */
	if (waited_ns >= MOST_PATIENCE_NS)
		contest_replace_first(&adaptive->contest, BLOCK_WAY);
}

/* ---- adaptive_cpu --------------------------------------------------------------- */

static void add_allowance(struct adaptive *adaptive)
{
	uint64_t passed_ns = adaptive->now_ns - adaptive->balanced_ns;

	if (adaptive->cpu_percent >= 100)
		return;
	if (!adaptive->balanced_ns)
		passed_ns = 0;
	adaptive->balanced_ns = adaptive->now_ns;
	adaptive->balance_ns += (int64_t)(passed_ns * adaptive->cpu_percent / 100);
	if (adaptive->balance_ns > BALANCE_LIMIT_NS)
		adaptive->balance_ns = BALANCE_LIMIT_NS;
	if (adaptive->balance_ns < LOWEST_BALANCE_NS)
		adaptive->balance_ns = LOWEST_BALANCE_NS;
}

static bool is_over_limit(const struct adaptive *adaptive)
{
	return adaptive->cpu_percent && adaptive->cpu_percent < 100 &&
	       adaptive->balance_ns <= 0;
}

/* True if polling must stop even in the middle of a wait. */
static bool must_rest(const struct adaptive *adaptive)
{
	return adaptive->balance_ns <= -BALANCE_LIMIT_NS;
}

/* The length of a sleep that most likely ends before the completion arrives; 0: no
 * sleep is short enough. */
static uint64_t safe_sleep_ns(const struct adaptive *adaptive)
{
	uint64_t early_ns = adaptive->arrival.spread_ns + adaptive->oversleep.mean_ns;
	uint64_t sleep_ns = adaptive->arrival.mean_ns;

	if (sleep_ns < early_ns + SHORTEST_REST_NS)
		return 0;
	sleep_ns -= early_ns;
	return sleep_ns < ADAPTIVE_LONGEST_SLEEP_NS ? sleep_ns :
						     ADAPTIVE_LONGEST_SLEEP_NS;
}

/* Saves CPU time: the thread sleeps while no completion is expected. It blocks
 * instead if the balance is too low for that, or if no sleep is short enough. */
static struct adaptive_step rest(struct adaptive *adaptive)
{
	struct adaptive_step block = { ADAPTIVE_BLOCK, UINT64_MAX };
	struct adaptive_step sleep = { ADAPTIVE_SLEEP, safe_sleep_ns(adaptive) };

	if (must_rest(adaptive) || !sleep.length_ns)
		return block;
	adaptive->has_rested = true;
	adaptive->rests++;
	return sleep;
}

/* ---- the next step -------------------------------------------------------------- */

void adaptive_begin(struct adaptive *adaptive, uint64_t now_ns, uint64_t done,
		    unsigned int in_flight)
{
	adaptive->now_ns = now_ns;
	if (adaptive->begun_ns && done == adaptive->begun_done)
		return;
	adaptive->begun_ns = now_ns;
	adaptive->begun_done = done;
	adaptive->has_rested = false;
	if (adaptive->cpu_percent)
		contest_note(&adaptive->contest, now_ns, done, in_flight);
}

static struct adaptive_step current_step(const struct adaptive *adaptive,
					 uint64_t left_ns)
{
	unsigned int way = adaptive->contest.current;
	uint64_t trial_ns = contest_left_ns(&adaptive->contest);
	struct adaptive_step step = { ways[way].action,
				      left_ns < trial_ns ? left_ns : trial_ns };

	if (step.action == ADAPTIVE_SLEEP)
		step.length_ns = ways[way].sleep_ns;
	else if (step.action == ADAPTIVE_BLOCK)
		step.length_ns = UINT64_MAX;
	else if (adaptive->cpu_percent < 100 &&
		 (int64_t)step.length_ns > adaptive->balance_ns + BALANCE_LIMIT_NS)
		step.length_ns = (uint64_t)(adaptive->balance_ns + BALANCE_LIMIT_NS);
	return step;
}

/* If even the first way has to be given up like this, another thread needs the core. */
static struct adaptive_step block_late(struct adaptive *adaptive)
{
	adaptive->late_blocks++;
	contest_replace_first(&adaptive->contest, BLOCK_WAY);
	return (struct adaptive_step){ ADAPTIVE_BLOCK, UINT64_MAX };
}

static struct adaptive_step choose_step(struct adaptive *adaptive)
{
	uint64_t waited_ns = adaptive->now_ns - adaptive->begun_ns;
	uint64_t patience_ns = adaptive_patience_ns(adaptive);

	add_allowance(adaptive);
	if (waited_ns && adaptive->cpu_percent)
		contest_wait_on(&adaptive->contest, adaptive->now_ns);
	if (waited_ns >= patience_ns)
		return block_late(adaptive);
	if (is_over_limit(adaptive) && (!waited_ns || must_rest(adaptive)))
		return rest(adaptive);
	return current_step(adaptive, patience_ns - waited_ns);
}

struct adaptive_step adaptive_next(struct adaptive *adaptive)
{
	adaptive->step = choose_step(adaptive);
	return adaptive->step;
}
