/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The results of a loop, written in the form of fio's own results, so that the same
 * code reads both. One thread calls these functions.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"

/* Latencies in bins of 10 ns; the last bin also has all longer ones. */
#define BIN_NS 10u
#define BINS 100000u

struct histogram {
	uint64_t bins[BINS];
	uint64_t count;
};

static inline void histogram_note(struct histogram *histogram, uint64_t latency_ns)
{
	uint64_t bin = latency_ns / BIN_NS;

	histogram->bins[bin < BINS ? bin : BINS - 1]++;
	histogram->count++;
}

static inline void histogram_add(struct histogram *sum, const struct histogram *more)
{
	for (unsigned int bin = 0; bin < BINS; bin++)
		sum->bins[bin] += more->bins[bin];
	sum->count += more->count;
}

static inline void result_write_bins(FILE *out, const struct histogram *histogram)
{
	const char *comma = "";
	uint64_t total_ns = 0, max_ns = 0;

	fprintf(out, "\"bins\": {");
	for (unsigned int bin = 0; bin < BINS; bin++) {
		if (!histogram->bins[bin])
			continue;
		max_ns = (uint64_t)bin * BIN_NS;
		total_ns += max_ns * histogram->bins[bin];
		fprintf(out, "%s\"%llu\": %llu", comma, (unsigned long long)max_ns,
			(unsigned long long)histogram->bins[bin]);
		comma = ", ";
	}
	fprintf(out, "}, \"N\": %llu, \"max\": %llu, \"mean\": %.1f",
		(unsigned long long)histogram->count, (unsigned long long)max_ns,
		histogram->count ? (double)total_ns / (double)histogram->count : 0);
}

/* Writes the results of a loop that ran for elapsed_ns to the file `path`. Returns 0
 * or -errno. */
static inline int result_write(const char *path, const struct histogram *histogram,
			       uint64_t elapsed_ns)
{
	FILE *out = fopen(path, "w");

	if (!out)
		return -errno;
	fprintf(out, "{\"jobs\": [{\"jobname\": \"loop\", \"groupid\": 0, \"error\": 0, "
		"\"write\": {\"total_ios\": 0}, \"trim\": {\"total_ios\": 0}, \"read\": {"
		"\"runtime\": %.3f, \"total_ios\": %llu, \"bw\": 0, \"iops\": %.3f, \"lat_ns\": {",
		(double)elapsed_ns / (double)NS_PER_MS,
		(unsigned long long)histogram->count,
		(double)histogram->count * (double)NS_PER_S / (double)elapsed_ns);
	result_write_bins(out, histogram);
	fprintf(out, "}}}]}\n");
	return fclose(out) ? -errno : 0;
}

#endif
