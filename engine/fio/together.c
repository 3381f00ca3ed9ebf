/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which jobs may run at the same time; see fio/together.h. Owns the order of fio's jobs,
 * which is read once, because fio has parsed all jobs before it sets up the first one.
 * Every call holds the lock of fio/shared_devices.c. Not on the I/O path.
 *
 * A phase begins when a job with stonewall starts, and lasts until the next such job
 * starts. Within a phase, only wait_for keeps jobs apart. Each job waits for one name at
 * most, so the jobs are the nodes of trees: what a tree needs is what its root needs, or
 * what its subtrees need together, whichever is more.
 */
#include "fio/together.h"

#include <stdlib.h>
#include <string.h>

#include "fio/compat.h"

#define NONE (-1)

struct place {
	bool is_stonewalled;
	uint64_t start_us;  /* startdelay, or that of the job that it waits for */
	int first;          /* of the jobs that numjobs made from the same section */
	int waitee;         /* the first of the jobs that it waits for, or NONE */
	int stonewall;      /* the last one that has surely started when it starts */
	uint64_t needed;    /* by this job and its siblings in a phase */
	uint64_t below;     /* by the jobs that wait for it */
};

static struct place *places;
static int num_places;

static const struct thread_options *options_of(int job)
{
	return &tnumber_to_td((unsigned int)job)->o;
}

unsigned int fio_num_jobs(void)
{
	return thread_number;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- the order of the jobs ---------------------------------------------------- */

static bool is_same(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* numjobs gives all jobs of a section the same name, and stonewall to the first. */
static bool is_sibling(int job)
{
	const struct thread_options *o = options_of(job);

	return job > 0 && !o->stonewall && is_same(o->name, options_of(job - 1)->name) &&
	       is_same(o->wait_for, options_of(job - 1)->wait_for);
}

/* fio refuses a name that no section above has, or several. */
static int find_waitee(int job)
{
	const char *name = options_of(job)->wait_for;

	for (int i = 0; name && i < job; i++)
		if (is_same(options_of(i)->name, name))
			return i;
	return NONE;
}

static int find_stonewall(int job)
{
	int i = job - 1;

	while (i >= 0 && !(places[i].is_stonewalled &&
			   places[i].start_us <= places[job].start_us))
		i--;
	return i;
}

/* startdelay may be a range, of which each job draws its own. */
static uint64_t latest_start_us(int first, int end)
{
	uint64_t latest = 0;

	for (int i = first; first != NONE && i < end && places[i].first == first; i++)
		if (places[i].start_us > latest)
			latest = places[i].start_us;
	return latest;
}

static void place_job(int job)
{
	struct place *place = &places[job];

	place->is_stonewalled = options_of(job)->stonewall != 0;
	place->first = is_sibling(job) ? places[job - 1].first : job;
	place->waitee = place->first == job ? find_waitee(job) :
					      places[place->first].waitee;
	place->start_us = larger(options_of(job)->start_delay,
				 latest_start_us(place->waitee, job));
	place->stonewall = find_stonewall(job);
}

bool fio_place_jobs(void)
{
	if (places)
		return true;
	places = calloc(thread_number, sizeof(*places));
	if (!places)
		return false;
	num_places = (int)thread_number;
	for (int job = 0; job < num_places; job++)
		place_job(job);
	return true;
}

/* ---- phases ------------------------------------------------------------------- */

/* The phase of NONE is before the first stonewall. */
static bool may_run(int job, int phase)
{
	const struct place *place = &places[job];

	if (job == phase)
		return true;
	if (place->is_stonewalled)
		return false;
	if (job < phase)
		return place->start_us > places[phase].start_us;
	if (place->stonewall <= phase)
		return true;
	/* A delayed stonewall starts after one that stands below it. */
	return phase != NONE &&
	       places[phase].start_us > places[place->stonewall].start_us;
}

static void fill_phase(const uint64_t *needs, int phase)
{
	for (int job = 0; job < num_places; job++)
		places[job].needed = places[job].below = 0;
	for (int job = 0; job < num_places; job++)
		if (needs[job] && may_run(job, phase))
			places[places[job].first].needed += needs[job];
}

/* A job comes after the job that it waits for, so its tree is complete. */
static uint64_t most_in_phase(const uint64_t *needs, int phase)
{
	uint64_t most = 0;

	fill_phase(needs, phase);
	for (int job = num_places - 1; job >= 0; job--) {
		const struct place *place = &places[job];
		uint64_t tree = larger(place->needed, place->below);

		if (place->waitee == NONE)
			most += tree;
		else
			places[place->waitee].below += tree;
	}
	return most;
}

uint64_t fio_most_at_once(const uint64_t *needs, unsigned int job)
{
	uint64_t most = 0;

	for (int phase = NONE; phase < num_places; phase++)
		if ((phase == NONE || places[phase].is_stonewalled) &&
		    may_run((int)job, phase))
			most = larger(most, most_in_phase(needs, phase));
	return most;
}
