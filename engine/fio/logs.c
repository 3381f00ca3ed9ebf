/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads logs of I/O for their largest request; see fio/logs.h. The formats are fio's
 * text of version 2 and 3, and the kernel's blktrace in either byte order. What cannot
 * be understood is skipped, because fio reads the log again and reports it.
 */
#include "fio/logs.h"

#include <byteswap.h>
#include <linux/blktrace_api.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* fio takes no greater depth from a log. */
#define GREATEST_LOGGED_DEPTH 1024u

#define LINE_BYTES 4096

/* ---- text ------------------------------------------------------------------- */

static bool moves_data(const char *action)
{
	return !strcmp(action, "read") || !strcmp(action, "write") ||
	       !strcmp(action, "trim");
}

/* Version 3 begins each line with a time. 0 if the line is no request. */
static uint64_t bytes_of_line(const char *line, bool has_time)
{
	char action[16];
	unsigned long long offset, bytes;
	int count = sscanf(line, has_time ? "%*s %*s %15s %llu %llu" :
					    "%*s %15s %llu %llu",
			   action, &offset, &bytes);

	return count == 3 && moves_data(action) ? bytes : 0;
}

static void measure_text(FILE *file, const char *head, struct log_measure *measure)
{
	bool has_time = !strncmp(head, "fio version 3", 13);
	char line[LINE_BYTES];

	while (fgets(line, sizeof(line), file)) {
		uint64_t bytes = bytes_of_line(line, has_time);

		if (bytes > measure->most_bytes)
			measure->most_bytes = bytes;
	}
}

/* ---- blktrace --------------------------------------------------------------- */

/* BLK_TC_ACT() of newer kernels' headers names a type that only the kernel has. */
#define TRACE_CATEGORY(category) ((uint32_t)(category) << BLK_TC_SHIFT)

enum { TRACE_READ, TRACE_WRITE, TRACE_DISCARD, TRACE_WAYS };

/* Requests that were queued since the last one completed, and the most of them. */
struct depths {
	int now[TRACE_WAYS];
	int most[TRACE_WAYS];
};

static int way_of(uint32_t action)
{
	if (action & TRACE_CATEGORY(BLK_TC_READ))
		return TRACE_READ;
	if (action & TRACE_CATEGORY(BLK_TC_WRITE))
		return TRACE_WRITE;
	return action & TRACE_CATEGORY(BLK_TC_DISCARD) ? TRACE_DISCARD : -1;
}

static void follow_depth(struct depths *depths, uint32_t action)
{
	int way = way_of(action);

	if (way < 0)
		return;
	switch (action & 0xffff) {
	case __BLK_TA_QUEUE:
		depths->now[way]++;
		break;
	case __BLK_TA_BACKMERGE:
	case __BLK_TA_FRONTMERGE:
		depths->now[way]--;
		break;
	case __BLK_TA_COMPLETE:
		if (depths->now[way] > depths->most[way])
			depths->most[way] = depths->now[way];
		depths->now[way] = 0;
	}
}

static void swap_trace(struct blk_io_trace *trace)
{
	trace->bytes = bswap_32(trace->bytes);
	trace->action = bswap_32(trace->action);
	trace->pdu_len = bswap_16(trace->pdu_len);
}

static void follow_trace(const struct blk_io_trace *trace, struct depths *depths,
			 struct log_measure *measure)
{
	if (trace->action & TRACE_CATEGORY(BLK_TC_NOTIFY))
		return;
	follow_depth(depths, trace->action);
	if ((trace->action & 0xffff) == __BLK_TA_QUEUE &&
	    trace->bytes > measure->most_bytes)
		measure->most_bytes = trace->bytes;
}

static void measure_traces(FILE *file, bool is_swapped, struct log_measure *measure)
{
	struct depths depths = { 0 };
	struct blk_io_trace trace;

	rewind(file);
	while (fread(&trace, sizeof(trace), 1, file) == 1) {
		if (is_swapped)
			swap_trace(&trace);
		follow_trace(&trace, &depths, measure);
		if (fseek(file, trace.pdu_len, SEEK_CUR))
			break;
	}
	for (int way = 0; way < TRACE_WAYS; way++)
		if (depths.most[way] > (int)measure->depth)
			measure->depth = (unsigned int)depths.most[way];
	if (measure->depth > GREATEST_LOGGED_DEPTH)
		measure->depth = GREATEST_LOGGED_DEPTH;
}

/* ---- either ----------------------------------------------------------------- */

static bool is_magic(uint32_t number)
{
	return (number & 0xffffff00) == BLK_IO_TRACE_MAGIC;
}

static void measure_file(FILE *file, struct log_measure *measure)
{
	char head[64] = "";
	uint32_t number = 0;

	if (!fgets(head, sizeof(head), file))
		return;
	memcpy(&number, head, sizeof(number));
	if (is_magic(number) || is_magic(bswap_32(number)))
		measure_traces(file, !is_magic(number), measure);
	else
		measure_text(file, head, measure);
}

struct log_measure log_measure(const char *path, uint64_t align_bytes)
{
	struct log_measure measure = { .depth = 1 };
	struct stat status;
	FILE *file;

	if (stat(path, &status) || !S_ISREG(status.st_mode))
		return measure;
	file = fopen(path, "re");
	if (!file)
		return measure;
	measure_file(file, &measure);
	fclose(file);
	if (align_bytes)
		measure.most_bytes = (measure.most_bytes + align_bytes - 1) /
				     align_bytes * align_bytes;
	return measure;
}
