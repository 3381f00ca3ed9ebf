/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the latency and its trace file. Workers never enter it.
 */
#include "serve/latency.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/quantity.h"

static int trace_append(struct latency *latency, uint64_t ns)
{
	const size_t count = latency->trace_count;
	uint64_t *grown = latency->trace_ns;

	/* The room doubles whenever the count is a power of two. */
	if (!(count & (count - 1)))
		grown = realloc(grown, (count ? 2 * count : 1) * sizeof(*grown));
	if (!grown)
		return error_record(-ENOMEM, "latency trace: no memory");
	grown[latency->trace_count++] = ns;
	latency->trace_ns = grown;
	return 0;
}

static int read_trace(struct latency *latency, FILE *file)
{
	char line[64];
	int result = 0;

	while (!result && fgets(line, sizeof(line), file)) {
		uint64_t ns;

		line[strcspn(line, "\r\n")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		result = quantity_parse_ns(line, &ns);
		if (!result)
			result = trace_append(latency, ns);
	}
	return result;
}

static int open_trace(struct latency *latency, const char *path)
{
	FILE *file = fopen(path, "re");
	int result;

	if (!file)
		return error_record(-errno, "latency trace %s: %s", path,
				    strerror(errno));
	result = read_trace(latency, file);
	fclose(file);
	if (!result && !latency->trace_count)
		result = error_record(-EINVAL, "latency trace %s is empty",
				      path);
	return result;
}

/* Reads latencies in turn, such as "10us,100us/1s". */
static int parse_turns(struct latency *latency, char *words)
{
	char *second = strchr(words, ','), *turn = strchr(words, '/');
	int result;

	if (!second || !turn || turn < second)
		return error_record(-EINVAL, "latency '%s': use 20us, "
				    "10us,100us/1s or trace:FILE", words);
	*second++ = '\0';
	*turn++ = '\0';
	result = quantity_parse_ns(words, &latency->first_ns);
	if (!result)
		result = quantity_parse_ns(second, &latency->second_ns);
	if (!result)
		result = quantity_parse_ns(turn, &latency->turn_ns);
	if (!result && !latency->turn_ns)
		result = error_record(-EINVAL, "latency: a turn must not last 0");
	return result;
}

static int open_words(struct latency *latency, const char *words)
{
	char *copy;
	int result;

	if (!strcmp(words, "none"))
		return 0;
	if (!strncmp(words, "trace:", 6))
		return open_trace(latency, words + 6);
	if (!strpbrk(words, ",/"))
		return quantity_parse_ns(words, &latency->first_ns);
	copy = strdup(words);
	if (!copy)
		return error_record(-ENOMEM, "latency: no memory");
	result = parse_turns(latency, copy);
	free(copy);
	return result;
}

int latency_open(struct latency *latency, const char *words)
{
	int result;

	*latency = (struct latency){ 0 };
	result = open_words(latency, words);
	if (!result && !(latency->words = strdup(words)))
		result = error_record(-ENOMEM, "latency: no memory");
	if (result)
		latency_close(latency);
	return result;
}

void latency_close(struct latency *latency)
{
	free(latency->trace_ns);
	free(latency->words);
	*latency = (struct latency){ 0 };
}

const char *latency_words(const struct latency *latency)
{
	return latency_is_none(latency) ? "none" : latency->words;
}
