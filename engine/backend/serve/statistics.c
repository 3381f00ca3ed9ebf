/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adds counters up and prints them as JSON. Workers never enter it.
 */
#include "serve/statistics.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"

static const char *const request_names[OPERATION_KINDS] = {
	[OPERATION_READ] = "reads",
	[OPERATION_WRITE] = "writes",
	[OPERATION_FLUSH] = "flushes",
	[OPERATION_DISCARD] = "discards",
	[OPERATION_WRITE_ZEROES] = "write_zeroes",
	[OPERATION_IDENTIFY] = "identifies",
	[OPERATION_COMMAND] = "commands",
	[OPERATION_TASK] = "tasks",
	[OPERATION_UNKNOWN] = "unknown",
};

void statistics_add(struct statistics *total, const struct statistics *part)
{
	const uint64_t *from = (const uint64_t *)part;
	uint64_t *to = (uint64_t *)total;
	unsigned int i;

	_Static_assert(sizeof(*total) % sizeof(uint64_t) == 0,
		       "statistics are 64-bit counters and nothing else");
	for (i = 0; i < sizeof(*total) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

static void print_member(struct text *text, const char *name, uint64_t value)
{
	text_add(text, ", \"%s\": %" PRIu64, name, value);
}

static void print_faults(struct text *text, const struct statistics *statistics)
{
	char name[64];
	unsigned int i;

	for (i = 0; i < FAULT_ACTIONS; i++) {
		if (!statistics->faults[i])
			continue;
		snprintf(name, sizeof(name), "fault_%s", fault_name(i));
		print_member(text, name, statistics->faults[i]);
	}
}

void statistics_print(const struct statistics *statistics, struct text *text)
{
	unsigned int i;

	for (i = 0; i < OPERATION_KINDS; i++)
		print_member(text, request_names[i],
			     statistics->requests[i]);
#define PRINT(name) print_member(text, #name, statistics->name)
	PRINT(bytes_read);
	PRINT(bytes_written);
	PRINT(postponed);
	PRINT(errors);
	PRINT(broken_rings);
	PRINT(batches);
	PRINT(kicks_taken);
	PRINT(calls_sent);
	PRINT(calls_suppressed);
	PRINT(polls);
	PRINT(empty_polls);
	PRINT(sleeps);
#undef PRINT
	print_faults(text, statistics);
}
