/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a request is to take, at least: not at all, a fixed time, two times
 * by turns, or times drawn from a trace.
 *
 * Made by the control thread; read by workers, each with a cursor of its own.
 * Only says how long; ring/held.h keeps the requests for so long.
 */
#ifndef BACKEND_LATENCY_H
#define BACKEND_LATENCY_H

#include <stddef.h>
#include <stdint.h>

struct latency {
	uint64_t first_ns, second_ns;
	uint64_t turn_ns; /* how long each of the two lasts; 0: only the first */
	uint64_t *trace_ns; /* NULL: none */
	size_t trace_count;
};

/* `words`: none, 20us, 10us,100us/1s, or trace:FILE, a file of one number of
 * nanoseconds a line, read over and over. */
int latency_open(struct latency *latency, const char *words);
void latency_close(struct latency *latency);

static inline int latency_is_none(const struct latency *latency)
{
	return !latency->trace_ns && !latency->first_ns && !latency->turn_ns;
}

/* For a request that came at `now_ns`. */
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
