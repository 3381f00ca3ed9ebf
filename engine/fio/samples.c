/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The times of the requests that explain=N chooses; see fio/samples.h. */
#include "fio/samples.h"

void samples_begin(struct samples *samples, unsigned int every)
{
	samples->threshold = 65536 / every;
}

/* Keeps the samples that would still be chosen. */
static void make_room(struct samples *samples)
{
	unsigned int kept = 0;

	samples->threshold /= 2;
	for (unsigned int i = 0; i < samples->count; i++) {
		if (samples_choose(samples, samples->each[i].position))
			samples->each[kept++] = samples->each[i];
	}
	samples->count = kept;
}

/* A look that sends queued requests can also publish others, and then nobody notes when. */
void samples_keep(struct samples *samples, const struct sample *times)
{
	if (!times->published)
		return;
	if (samples->count == MOST_SAMPLES && samples->threshold > 1)
		make_room(samples);
	if (samples->count < MOST_SAMPLES)
		samples->each[samples->count++] = *times;
}

static void print_sample(FILE *out, const struct sample *times, bool is_watched)
{
	const uint64_t since = times->submitted;

	fprintf(out, "[%u,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%d", times->file,
		(unsigned long long)times->position, (unsigned long long)since,
		(unsigned long long)times->fio_ns,
		(unsigned long long)(times->published - since),
		(unsigned long long)times->kick,
		(unsigned long long)(times->seen - since),
		(unsigned long long)(times->taken - since), (int)times->woken_by);
	if (is_watched)
		fprintf(out, ",%llu",
			(unsigned long long)(times->used ? times->used - since : 0));
	fputc(']', out);
}

void samples_print(FILE *out, const struct samples *samples, bool is_watched)
{
	for (unsigned int i = 0; i < samples->count; i++) {
		fputs(i ? "," : "", out);
		print_sample(out, &samples->each[i], is_watched);
	}
}
