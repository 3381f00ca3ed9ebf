/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares ways of waiting by their rates; see wait/contest.h. */
#include "wait/contest.h"

#include <math.h>

#include "base/clock.h"

/* A stretch lasts for this long at least, and until each request in flight has
 * completed this many times. A short stretch is enough to recognise a bad way;
 * ways whose scores are close to the best way's get a long one. No stretch is
 * longer than LONGEST_STRETCH_NS, because a device may be slow. */
#define SHORT_STRETCH_NS NS_PER_MS
#define SHORT_STRETCH_ROUNDS 2
#define LONG_STRETCH_NS (4 * NS_PER_MS)
#define LONG_STRETCH_ROUNDS 8
#define LONGEST_STRETCH_NS (8 * NS_PER_MS)
#define CLOSE 0.8
#define LEAST_PER_STRETCH 16
#define LEAST_TO_JUDGE 8

/* The first 100 us of a stretch still show the effects of the previous way, so
 * they are not counted. */
#define SETTLE_NS (100 * NS_PER_US)

/* A way is better than the best one so far if it was at least 2% faster in the
 * mean of at least two trials, and if that mean less the spread of the trials is at
 * least 1. Otherwise the difference may be chance. */
#define BETTER 1.02
#define LEAST_TRIALS 2
/* The number of trials that a score is averaged over. */
#define SCORE_MEMORY 4

/* The trials of a slow way may cost 1/1000 of the time. */
#define LOSS_SHARE 1000
#define SOONEST_NS (20 * NS_PER_MS)
#define LATEST_NS NS_PER_S

/* Conditions have changed if the rate of the best way differs from its usual rate
 * by half, in several stretches in a row, and for longer than a scheduler lets
 * another thread run. */
#define UNUSUAL_FACTOR 1.5
#define UNUSUAL_STRETCHES 3
#define UNUSUAL_NS (15 * NS_PER_MS)
#define USUAL_MEMORY 8
#define UNSETTLE_AGAIN_NS (50 * NS_PER_MS)

void contest_open(struct contest *contest, unsigned int num_ways)
{
	*contest = (struct contest){ .num_ways = num_ways };
	for (unsigned int i = 0; i < num_ways; i++)
		contest->ways[i].score = 1;
}

/* ---- stretches -------------------------------------------------------------- */

static void count_from_here(struct contest *contest, uint64_t done)
{
	contest->stretch.start_ns = contest->now_ns;
	contest->stretch.start_done = done;
}

static void use(struct contest *contest, unsigned int way, uint64_t done)
{
	contest->current = way;
	contest->stretch.is_settling = true;
	count_from_here(contest, done);
}

/* A way that takes at least shortest_ns for each request cannot have a higher
 * rate than in_flight / shortest_ns. */
static bool can_win(const struct contest *contest, unsigned int way)
{
	return (double)contest->ways[way].shortest_ns * contest->rate_before <
	       (double)contest->in_flight;
}

static bool is_exploring(const struct contest *contest)
{
	for (unsigned int i = 0; i < contest->num_ways; i++)
		if (i != contest->best && !contest->ways[i].trials &&
		    can_win(contest, i))
			return true;
	return false;
}

static bool is_short(const struct contest *contest)
{
	const struct contest_way *way = &contest->ways[contest->current];

	return contest->current == contest->best ?
		       is_exploring(contest) :
		       !way->trials || way->score < CLOSE;
}

/* A trial ends early when the way cannot catch up any more. This may happen even
 * while it still settles. */
static bool is_lost(const struct contest *contest, uint64_t elapsed_ns,
		    uint64_t count)
{
	double expected = (double)elapsed_ns * contest->rate_before;

	return contest->current != contest->best &&
	       expected >= 2 * LEAST_PER_STRETCH &&
	       (double)(count + contest->in_flight) < expected / 2;
}

static bool has_settled(const struct contest *contest, uint64_t elapsed_ns,
			uint64_t count)
{
	return elapsed_ns >= SETTLE_NS && count >= contest->in_flight;
}

static bool has_ended(const struct contest *contest, uint64_t elapsed_ns,
		      uint64_t count)
{
	bool shortly = is_short(contest);
	uint64_t enough_ns = shortly ? SHORT_STRETCH_NS : LONG_STRETCH_NS;
	uint64_t enough = (uint64_t)contest->in_flight *
			  (shortly ? SHORT_STRETCH_ROUNDS : LONG_STRETCH_ROUNDS);

	if (enough < LEAST_PER_STRETCH)
		enough = LEAST_PER_STRETCH;
	return elapsed_ns >= LONGEST_STRETCH_NS ||
	       (elapsed_ns >= enough_ns && count >= enough);
}

/* ---- judging ---------------------------------------------------------------- */

static void make_best(struct contest *contest, unsigned int winner)
{
	double reference = contest->ways[winner].score;

	for (unsigned int i = 0; i < contest->num_ways; i++)
		contest->ways[i].score /= reference;
	contest->ways[contest->best].trials = 1;
	contest->ways[contest->best].due_ns = contest->now_ns + SOONEST_NS;
	contest->best = winner;
	contest->rate_before = contest->rate_tried;
	contest->rate_usual = 0;
	contest->unusual = 0;
	contest->changes++;
}

static uint64_t rest_ns(const struct contest *contest, double score)
{
	double loss_ns = (double)contest->tried_ns * (1 - score) * LOSS_SHARE;

	if (loss_ns < (double)SOONEST_NS)
		return SOONEST_NS;
	return loss_ns > (double)LATEST_NS ? LATEST_NS : (uint64_t)loss_ns;
}

/* Updates the score of a way, and the mean distance of its trials from it. */
static void add_to_score(struct contest_way *way, double ratio)
{
	if (way->trials < SCORE_MEMORY)
		way->trials++;
	if (way->trials == 1) {
		way->score = ratio;
		way->spread = 0;
	}
	way->spread += (fabs(ratio - way->score) - way->spread) / way->trials;
	way->score += (ratio - way->score) / way->trials;
}

static bool is_better(const struct contest_way *way)
{
	return way->trials >= LEAST_TRIALS && way->score >= BETTER &&
	       way->score - way->spread >= 1;
}

static void judge(struct contest *contest, unsigned int judged, double ratio)
{
	struct contest_way *way = &contest->ways[judged];

	add_to_score(way, ratio);
	if (is_better(way))
		make_best(contest, judged);
	else if (way->score >= BETTER)
		way->due_ns = 0; /* it is tried before all others */
	else
		way->due_ns = contest->now_ns + rest_ns(contest, way->score);
}

/* ---- the rate of the best way -------------------------------------------------- */

static void unsettle(struct contest *contest)
{
	for (unsigned int i = 0; i < contest->num_ways; i++) {
		contest->ways[i].trials = 0;
		contest->ways[i].due_ns = contest->now_ns;
	}
	contest->unsettled_ns = contest->now_ns;
	contest->rate_usual = 0;
	contest->unusual = 0;
	contest->unsettlings++;
}

static bool differ(double a, double b)
{
	return a > b * UNUSUAL_FACTOR || b > a * UNUSUAL_FACTOR;
}

/* True after several stretches in a row whose rates differ from the usual one but
 * not from each other. A thread that is only kept from running now and then does
 * not see this. */
static bool have_conditions_changed(struct contest *contest, double rate)
{
	if (!contest->unusual || differ(rate, contest->rate_unusual)) {
		contest->unusual = 0;
		contest->unusual_ns = contest->now_ns;
	}
	contest->rate_unusual = rate;
	return ++contest->unusual >= UNUSUAL_STRETCHES &&
	       contest->now_ns - contest->unusual_ns >= UNUSUAL_NS &&
	       contest->now_ns - contest->unsettled_ns >= UNSETTLE_AGAIN_NS;
}

/* True if all ways have to be tried again. */
static bool note_best_rate(struct contest *contest, double rate)
{
	if (contest->rate_usual == 0)
		contest->rate_usual = rate;
	if (differ(rate, contest->rate_usual)) {
		if (!have_conditions_changed(contest, rate))
			return false;
		unsettle(contest);
		return true;
	}
	contest->unusual = 0;
	contest->rate_usual += (rate - contest->rate_usual) / USUAL_MEMORY;
	return false;
}

/* ---- the next way ---------------------------------------------------------------- */

static unsigned int choose(const struct contest *contest)
{
	unsigned int chosen = contest->best;
	uint64_t earliest_ns = contest->now_ns + 1;

	for (unsigned int i = 0; i < contest->num_ways; i++) {
		if (i == contest->best ||
		    contest->ways[i].due_ns >= earliest_ns ||
		    !can_win(contest, i))
			continue;
		chosen = i;
		earliest_ns = contest->ways[i].due_ns;
	}
	return chosen;
}

static void end_trial(struct contest *contest, double rate, uint64_t elapsed_ns)
{
	contest->judged = contest->current;
	contest->rate_tried = rate;
	contest->tried_ns = elapsed_ns;
	contest->trials++;
}

/* A trial counts only if the best way had the same rate before and after it. */
static void end_best_stretch(struct contest *contest, double rate)
{
	double before = contest->rate_before;
	unsigned int judged = contest->judged;

	contest->rate_before = rate;
	contest->judged = contest->best;
	if (note_best_rate(contest, rate) || judged == contest->best)
		return;
	if (differ(before, rate))
		contest->ways[judged].due_ns = contest->now_ns;
	else
		judge(contest, judged, contest->rate_tried / ((before + rate) / 2));
}

static void end_stretch(struct contest *contest, uint64_t done)
{
	uint64_t elapsed_ns = contest->now_ns - contest->stretch.start_ns;
	uint64_t count = done - contest->stretch.start_done;
	double rate = (double)count / (double)elapsed_ns;
	unsigned int next = contest->best;

	if (contest->current != contest->best) {
		end_trial(contest, rate, elapsed_ns);
	} else if (count >= LEAST_TO_JUDGE) {
		end_best_stretch(contest, rate);
		next = choose(contest);
	}
	if (next != contest->current)
		use(contest, next, done);
	else
		count_from_here(contest, done);
}

static void note_progress(struct contest *contest, uint64_t done)
{
	struct contest_stretch *stretch = &contest->stretch;
	uint64_t elapsed_ns = contest->now_ns - stretch->start_ns;
	uint64_t count = done - stretch->start_done;

	if (is_lost(contest, elapsed_ns, count)) {
		end_stretch(contest, done);
	} else if (!stretch->is_settling) {
		if (has_ended(contest, elapsed_ns, count))
			end_stretch(contest, done);
	} else if (has_settled(contest, elapsed_ns, count)) {
		stretch->is_settling = false;
		count_from_here(contest, done);
	}
}

void contest_note(struct contest *contest, uint64_t now_ns, uint64_t done,
		  unsigned int in_flight)
{
	if (!contest->now_ns) {
		contest->now_ns = now_ns;
		use(contest, contest->best, done);
	}
	contest->ways[contest->current].used_ns += now_ns - contest->now_ns;
	contest->now_ns = now_ns;
	contest->in_flight = in_flight;
	note_progress(contest, done);
}
