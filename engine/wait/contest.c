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
/* It is also better if it was at least 5% faster in two of the last three trials. In
 * the third one, another thread may have kept the back-end from running. */
#define CLEARLY_BETTER 1.05
#define LAST_TRIALS 7u
/* The number of trials that a score is averaged over. */
#define SCORE_MEMORY 4

/* The trials of a slow way may cost 1/1000 of the time, however much one of them
 * costs. */
#define LOSS_SHARE 1000
#define SOONEST_NS (20 * NS_PER_MS)
/* Until the second trial in which anything completed, they may cost 1/100: it may have
 * been another thread that made the first one slow. So may all trials after the contest
 * was unsettled. */
#define FIRST_SHARE 100

/* Conditions have changed if the rate of the best way differs from its usual rate
 * by half, in several stretches in a row, and for longer than a scheduler lets
 * another thread run. */
#define UNUSUAL_FACTOR 1.5
#define UNUSUAL_STRETCHES 3
#define UNUSUAL_NS (15 * NS_PER_MS)
#define USUAL_MEMORY 8
/* An unusual rate counts less, but if all rates are unusual and none is like the
 * one before, the usual rate has to follow them. */
#define UNUSUAL_MEMORY 64
#define UNSETTLE_AGAIN_NS (50 * NS_PER_MS)

void contest_open(struct contest *contest, unsigned int num_ways)
{
	*contest = (struct contest){ .num_ways = num_ways };
	for (unsigned int i = 0; i < num_ways; i++)
		contest->ways[i].score = 1;
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

/* ---- stretches -------------------------------------------------------------- */

static void count_from_here(struct contest *contest)
{
	contest->stretch.start_ns = contest->now_ns;
	contest->stretch.start_done = contest->done;
}

static bool is_trial(const struct contest *contest)
{
	return contest->current != contest->best;
}

static void use(struct contest *contest, unsigned int way)
{
	contest->current = way;
	contest->stretch.is_settling = true;
	count_from_here(contest);
	if (is_trial(contest))
		contest->trial = contest->stretch;
}

/* A way that takes at least shortest_ns for each request cannot have a higher
 * rate than in_flight / shortest_ns. */
static bool can_win(const struct contest *contest, unsigned int way)
{
	return (double)contest->ways[way].shortest_ns * contest->rate_before <
	       (double)contest->in_flight;
}

static bool may_try(const struct contest *contest, unsigned int way)
{
	return way != contest->best && contest->ways[way].due_ns <= contest->now_ns &&
	       can_win(contest, way);
}

static bool is_exploring(const struct contest *contest)
{
	for (unsigned int i = 0; i < contest->num_ways; i++)
		if (!contest->ways[i].trials && may_try(contest, i))
			return true;
	return false;
}

static bool is_short(const struct contest *contest)
{
	const struct contest_way *way = &contest->ways[contest->current];

	return is_trial(contest) ? !way->trials || way->score < CLOSE :
				   is_exploring(contest);
}

/* The time after which a trial is lost, because the way cannot catch up any more: by
 * then, the best way would have completed twice as many requests as have completed or
 * are in flight. */
static uint64_t lost_after_ns(const struct contest *contest)
{
	double come = (double)(contest->done - contest->stretch.start_done) +
		      (double)contest->in_flight;
	double after_ns = larger(2 * come, LEAST_PER_STRETCH) / contest->rate_before;

	return after_ns < (double)LONGEST_STRETCH_NS ?
		       (uint64_t)larger(after_ns, (double)SETTLE_NS) :
		       LONGEST_STRETCH_NS;
}

static uint64_t elapsed_ns(const struct contest *contest)
{
	return contest->now_ns - contest->stretch.start_ns;
}

static bool is_lost(const struct contest *contest)
{
	return is_trial(contest) && elapsed_ns(contest) >= lost_after_ns(contest);
}

static bool has_settled(const struct contest *contest, uint64_t count)
{
	return elapsed_ns(contest) >= SETTLE_NS && count >= contest->in_flight;
}

static bool has_ended(const struct contest *contest, uint64_t count)
{
	bool shortly = is_short(contest);
	uint64_t enough_ns = shortly ? SHORT_STRETCH_NS : LONG_STRETCH_NS;
	uint64_t enough = (uint64_t)contest->in_flight *
			  (shortly ? SHORT_STRETCH_ROUNDS : LONG_STRETCH_ROUNDS);

	if (enough < LEAST_PER_STRETCH)
		enough = LEAST_PER_STRETCH;
	return elapsed_ns(contest) >= LONGEST_STRETCH_NS ||
	       (elapsed_ns(contest) >= enough_ns && count >= enough);
}

/* ---- judging ---------------------------------------------------------------- */

static void make_best(struct contest *contest, unsigned int winner)
{
	double reference = contest->ways[winner].score;

	for (unsigned int i = 0; i < contest->num_ways; i++) {
		contest->ways[i].score /= reference;
		contest->ways[i].wins = 0;
	}
	contest->ways[contest->best].trials = 1;
	contest->ways[contest->best].due_ns = contest->now_ns + SOONEST_NS;
	contest->best = winner;
	contest->rate_before = contest->rate_tried;
	contest->rate_usual = contest->rate_tried;
	contest->unusual = 0;
	contest->unsettle_due_ns = contest->now_ns + UNSETTLE_AGAIN_NS;
	contest->changes++;
}

/* The rate that the best way would have had in a trial. While other threads keep it
 * from running now and then, its usual rate says more than its last one. */
static double rate_expected(const struct contest *contest, double rate)
{
	return larger(rate, contest->rate_usual);
}

/* Counts the time that a trial cost, until the requests that it delayed have
 * completed. */
static void count_cost(struct contest *contest)
{
	double rate = rate_expected(contest, contest->rate_before);
	double done = (double)(contest->done - contest->trial.start_done);
	double ns = (double)(contest->now_ns - contest->trial.start_ns) - done / rate;

	contest->cost_ns = ns > 0 ? (uint64_t)ns : 0;
	if (contest->unsettlings && !contest->ways[contest->judged].trials)
		contest->unsettle_due_ns += contest->cost_ns * FIRST_SHARE;
}

/* A way rests until the cost of its last trial has been earned back. */
static void rest(struct contest *contest, struct contest_way *way)
{
	bool is_known = way->trials >= LEAST_TRIALS || contest->rate_tried == 0;
	uint64_t rest_ns = contest->cost_ns * (is_known ? LOSS_SHARE : FIRST_SHARE);

	way->due_ns = contest->now_ns + (rest_ns > SOONEST_NS ? rest_ns : SOONEST_NS);
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
	way->wins = way->wins << 1 | (ratio >= CLEARLY_BETTER);
	way->spread += (fabs(ratio - way->score) - way->spread) / way->trials;
	way->score += (ratio - way->score) / way->trials;
}

static bool is_better(const struct contest_way *way)
{
	if (__builtin_popcount(way->wins & LAST_TRIALS) >= LEAST_TRIALS)
		return true;
	return way->trials >= LEAST_TRIALS && way->score >= BETTER &&
	       way->score - way->spread >= 1;
}

static void judge(struct contest *contest, unsigned int judged, double ratio)
{
	struct contest_way *way = &contest->ways[judged];

	add_to_score(way, ratio);
	if (is_better(way))
		make_best(contest, judged);
	else if (ratio >= BETTER)
		way->due_ns = 0; /* it is tried before all others */
	else
		rest(contest, way);
}

/* ---- the rate of the best way -------------------------------------------------- */

static void unsettle(struct contest *contest, double rate)
{
	for (unsigned int i = 0; i < contest->num_ways; i++) {
		contest->ways[i].trials = 0;
		contest->ways[i].wins = 0;
		contest->ways[i].due_ns = contest->now_ns;
	}
	contest->unsettle_due_ns = contest->now_ns + UNSETTLE_AGAIN_NS;
	contest->rate_usual = rate;
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
	       contest->now_ns >= contest->unsettle_due_ns;
}

/* True if all ways have to be tried again. */
static bool note_best_rate(struct contest *contest, double rate)
{
	if (contest->rate_usual == 0)
		contest->rate_usual = rate;
	if (differ(rate, contest->rate_usual)) {
		contest->rate_usual +=
			(rate - contest->rate_usual) / UNUSUAL_MEMORY;
		if (!have_conditions_changed(contest, rate))
			return false;
		unsettle(contest, rate);
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
	uint64_t earliest_ns = UINT64_MAX;

	for (unsigned int i = 0; i < contest->num_ways; i++) {
		if (!may_try(contest, i) || contest->ways[i].due_ns >= earliest_ns)
			continue;
		chosen = i;
		earliest_ns = contest->ways[i].due_ns;
	}
	return chosen;
}

static void end_trial(struct contest *contest, double rate)
{
	contest->judged = contest->current;
	contest->rate_tried = rate;
	contest->trials++;
	use(contest, contest->best);
}

/* A trial counts only if the best way had the same rate before and after it. */
static void judge_between(struct contest *contest, double before, double after)
{
	unsigned int judged = contest->judged;
	double rate = rate_expected(contest, (before + after) / 2);

	if (differ(before, after))
		rest(contest, &contest->ways[judged]);
	else
		judge(contest, judged, contest->rate_tried / rate);
}

static void end_best_stretch(struct contest *contest, double rate)
{
	double before = contest->rate_before;
	unsigned int next;

	contest->rate_before = rate;
	if (!note_best_rate(contest, rate) && contest->judged != contest->best)
		judge_between(contest, before, rate);
	contest->judged = contest->best;
	next = choose(contest);
	if (next != contest->current)
		use(contest, next);
	else
		count_from_here(contest);
}

/* A rate says nothing if too few requests have completed. But if the usual rate is
 * known, so few requests are unusual. */
static void end_stretch(struct contest *contest)
{
	uint64_t count = contest->done - contest->stretch.start_done;
	double ns = (double)elapsed_ns(contest);

	if (is_trial(contest))
		end_trial(contest, (double)count / ns);
	else if (count >= LEAST_TO_JUDGE)
		end_best_stretch(contest, (double)count / ns);
	else if (contest->rate_usual > 0)
		end_best_stretch(contest, LEAST_TO_JUDGE / ns);
	else
		count_from_here(contest);
}

static void settle(struct contest *contest)
{
	contest->stretch.is_settling = false;
	count_from_here(contest);
	if (contest->judged != contest->best)
		count_cost(contest);
}

static void note_progress(struct contest *contest)
{
	uint64_t count = contest->done - contest->stretch.start_done;

	if (is_lost(contest)) {
		end_stretch(contest);
	} else if (!contest->stretch.is_settling) {
		if (has_ended(contest, count))
			end_stretch(contest);
	} else if (has_settled(contest, count)) {
		settle(contest);
	}
}

static void let_time_pass(struct contest *contest, uint64_t now_ns)
{
	contest->ways[contest->current].used_ns += now_ns - contest->now_ns;
	contest->now_ns = now_ns;
}

void contest_note(struct contest *contest, uint64_t now_ns, uint64_t done,
		  unsigned int in_flight)
{
	/* A thread that was kept from running may tell of what another told before. */
	if (done < contest->done)
		return;
	contest->done = done;
	if (!contest->now_ns) {
		contest->now_ns = now_ns;
		use(contest, contest->best);
	}
	contest->in_flight = in_flight;
	let_time_pass(contest, now_ns);
	note_progress(contest);
}

void contest_wait_on(struct contest *contest, uint64_t now_ns)
{
	let_time_pass(contest, now_ns);
	if (is_lost(contest))
		end_stretch(contest);
}

uint64_t contest_left_ns(const struct contest *contest)
{
	uint64_t lost_ns;

	if (!is_trial(contest))
		return UINT64_MAX;
	lost_ns = lost_after_ns(contest);
	return lost_ns > elapsed_ns(contest) ? lost_ns - elapsed_ns(contest) : 0;
}

void contest_replace_first(struct contest *contest, unsigned int way)
{
	if (contest->rate_usual > 0 || contest->best == way)
		return;
	contest->best = contest->judged = way;
	use(contest, way);
}
