/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The times of the requests that explain=N chooses: which ones are chosen, which are kept, and
 * how they are written. Called by the job's thread; takes no times itself.
 *
 * Requests are chosen by their position in the avail ring, counted from the ring's start. The
 * built-in back-end chooses the same ones, so the two sides send each other nothing.
 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* When so many requests are kept, every second one of them is dropped, and from then on half as
 * many are chosen. So the kept ones are always from the whole run. */
#define MOST_SAMPLES 16384
/* Both sides must use the same number, which spreads the chosen positions evenly over the
 * phases of batches: 65536 divided by the golden ratio. */
#define SPREAD 40503u

/* How fio's thread waited before the look that found the request. */
enum woken_by { WOKEN_BY_LOOK, WOKEN_BY_SLEEP, WOKEN_BY_CALL };

/* The times of one request, in ticks; 0: not reached. */
struct sample {
	uint64_t position;
	uint64_t submitted; /* fio called queue */
	uint64_t published;
	uint64_t kick;      /* the system call's length; 0: no kick was wanted */
	uint64_t used;      /* a watcher saw it in the used ring; 0: not known */
	uint64_t seen;      /* a look found that it was completed */
	uint64_t taken;     /* getevents returned it */
	uint64_t fio_ns;    /* by fio's own clock, from its start until it was taken; 0: not measured */
	unsigned int file;
	enum woken_by woken_by;
};

struct samples {
	unsigned int threshold;
	unsigned int count;
	struct sample each[MOST_SAMPLES];
};

/* One request in `every` (a power of two); samples are zeroed. */
void samples_begin(struct samples *samples, unsigned int every);

static inline bool samples_choose(const struct samples *samples, uint64_t position)
{
	return (uint16_t)(position * SPREAD) < samples->threshold;
}

/* Does nothing with a request of which it is not known when it was published. */
void samples_keep(struct samples *samples, const struct sample *times);
/* Writes them as the members of a JSON array, with `used` if the rings were watched. */
void samples_print(FILE *out, const struct samples *samples, bool is_watched);

#endif
