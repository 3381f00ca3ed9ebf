/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shortest time that a request takes: none, a fixed time, two times in
 * turn, or times from a trace.
 *
 * The control thread makes it, and workers read it with a cursor for each ring.
 * It only knows the time; ring/held.h holds requests until then.
 */
#ifndef BACKEND_LATENCY_H
#define BACKEND_LATENCY_H

#include <stddef.h>
#include <stdint.h>

struct latency {
	uint64_t first_ns, second_ns;
	uint64_t turn_ns; /* how long each turn lasts; 0: first_ns always */
	uint64_t *trace_ns; /* NULL: none */
	size_t trace_count;
	char *words; /* as they were given; NULL: none */
};

/* `words` is none, 20us, 10us,100us/1s, or trace:FILE. The file has one time on
 * each line, in ns if it has no unit, and it is repeated. Returns 0 or a
 * negative errno. */
int latency_open(struct latency *latency, const char *words);
void latency_close(struct latency *latency);
/* The words that it was opened with, or "none". */
const char *latency_words(const struct latency *latency);

static inline int latency_is_none(const struct latency *latency)
{
	return !latency->trace_ns && !latency->first_ns && !latency->turn_ns;
}

/* The time in ns for a request that arrived at `now_ns`. */
static inline uint64_t latency_next_ns(const struct latency *latency,
				       uint64_t now_ns, size_t *cursor)
{
	if (latency->trace_ns) {
		*cursor = *cursor < latency->trace_count ? *cursor : 0;
		return latency->trace_ns[(*cursor)++];
	}
	if (latency->turn_ns && now_ns / latency->turn_ns % 2)
		return latency->second_ns;
	return latency->first_ns;
}

#endif
