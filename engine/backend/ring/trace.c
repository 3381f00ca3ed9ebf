/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The times of single requests; see ring/trace.h. */
#include "ring/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/ticks.h"

enum {
	/* When so many requests are kept, every second one is dropped, and from then on
	 * half as many are chosen. So the kept ones are from the whole run. */
	MOST_SAMPLES = 16384,
	POSITIONS = 65536, /* of choice() */
	/* Both sides must use the same number: POSITIONS divided by the golden ratio. */
	SPREAD = 40503,
	/* Of the chosen requests that are under way, or over but not yet kept. More are
	 * not chosen. */
	OPEN_MOST = 128,
};

struct sample {
	uint64_t position;
	uint64_t taken, published; /* ticks; 0: not yet */
};

struct open_sample {
	struct sample times;
	uint16_t head;
};

struct trace {
	unsigned int ring_index;
	unsigned int threshold;
	uint64_t next_position;
	uint8_t *numbers; /* by head: its place in open, counted from 1; 0: it has none */
	/* The samples below are seldom cached, and a publication waits until earlier
	 * stores are done. So a request is kept after it is over. */
	struct open_sample open[OPEN_MOST];
	unsigned int open_count;
	unsigned int over_count; /* of the open ones, those that are published */
	unsigned int count;
	struct sample samples[MOST_SAMPLES];
};

static unsigned int choice(uint64_t position)
{
	return (uint16_t)(position * SPREAD);
}

struct trace *trace_open(const struct ring *ring, unsigned int every)
{
	struct trace *trace = calloc(1, sizeof(*trace));
	uint8_t *numbers = calloc(ring->size, sizeof(*numbers));

	if (!trace || !numbers) {
		free(trace);
		free(numbers);
		return NULL;
	}
	trace->ring_index = ring->index;
	trace->threshold = POSITIONS / every;
	trace->next_position = ring->taken_index;
	trace->numbers = numbers;
	return trace;
}

/* Keeps the samples that would still be chosen. */
static void make_room(struct trace *trace)
{
	unsigned int i, kept = 0;

	trace->threshold /= 2;
	for (i = 0; i < trace->count; i++) {
		if (choice(trace->samples[i].position) < trace->threshold)
			trace->samples[kept++] = trace->samples[i];
	}
	trace->count = kept;
}

static void keep(struct trace *trace, const struct sample *sample)
{
	if (trace->count == MOST_SAMPLES && trace->threshold > 1)
		make_room(trace);
	if (trace->count < MOST_SAMPLES)
		trace->samples[trace->count++] = *sample;
}

/* The last open request takes the place of one that is over. */
static void remove_open(struct trace *trace, unsigned int place)
{
	const struct open_sample last = trace->open[--trace->open_count];

	if (place == trace->open_count)
		return;
	trace->open[place] = last;
	if (!last.times.published)
		trace->numbers[last.head] = place + 1;
}

static void keep_over(struct trace *trace)
{
	unsigned int i = 0;

	while (trace->over_count && i < trace->open_count) {
		if (!trace->open[i].times.published) {
			i++;
			continue;
		}
		keep(trace, &trace->open[i].times);
		remove_open(trace, i);
		trace->over_count--;
	}
}

static void open_sample(struct trace *trace, uint64_t position, uint16_t head,
			uint64_t ticks)
{
	/* A client may offer a request again that is not completed. */
	if (trace->numbers[head] || trace->open_count == OPEN_MOST)
		return;
	trace->open[trace->open_count++] = (struct open_sample){
		.times = { .position = position, .taken = ticks }, .head = head };
	trace->numbers[head] = trace->open_count;
}

void trace_taken(struct trace *trace, const struct ring *ring,
		 const uint16_t *heads, unsigned int count)
{
	uint16_t first = ring->taken_index - count;
	uint64_t ticks = 0, position;
	unsigned int i;

	/* Requests that were put back are taken again. */
	position = trace->next_position + (int16_t)(first - (uint16_t)trace->next_position);
	for (i = 0; i < count; i++, position++) {
		if (likely(choice(position) >= trace->threshold))
			continue;
		if (!ticks)
			ticks = ticks_now();
		open_sample(trace, position, heads[i], ticks);
	}
	trace->next_position = position;
	if (!ticks || trace->open_count > OPEN_MOST / 2)
		keep_over(trace);
}

void trace_publishing(struct trace *trace, const struct ring *ring)
{
	const uint64_t ticks = trace->open_count != trace->over_count ? ticks_now() : 0;
	uint16_t index = ring->published_index;

	for (; ticks && index != ring->used_index; index++) {
		/* The client can change it. */
		uint32_t head = shared_read(
			&ring->used->ring[index & (ring->size - 1)].id);
		unsigned int number = head < ring->size ? trace->numbers[head] : 0;

		if (likely(!number))
			continue;
		trace->open[number - 1].times.published = ticks;
		trace->numbers[head] = 0;
		trace->over_count++;
	}
}

/* ---- writing ------------------------------------------------------------- */

static void print(FILE *out, const struct trace *trace, unsigned int connection)
{
	unsigned int i;

	fprintf(out, "{\"connection\":%u,\"ring\":%u,\"samples\":[", connection,
		trace->ring_index);
	for (i = 0; i < trace->count; i++) {
		const struct sample *sample = &trace->samples[i];

		fprintf(out, "%s[%llu,%llu,%llu]", i ? "," : "",
			(unsigned long long)sample->position,
			(unsigned long long)sample->taken,
			(unsigned long long)sample->published);
	}
	fprintf(out, "]}\n");
}

static int append(const struct trace *trace, const char *path,
		  unsigned int connection)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "a");

	if (!out) {
		int code = -errno;

		if (fd >= 0)
			close(fd);
		return code;
	}
	print(out, trace, connection);
	return fclose(out) ? -errno : 0;
}

int trace_close(struct trace *trace, const char *path, unsigned int connection)
{
	int result;

	if (!trace)
		return 0;
	keep_over(trace);
	result = trace->count ? append(trace, path, connection) : 0;
	free(trace->numbers);
	free(trace);
	return result;
}
