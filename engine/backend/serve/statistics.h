/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters. Each worker counts in its own structure, and the control thread
 * adds these up while the workers are parked. Counters only grow.
 */
#ifndef BACKEND_STATISTICS_H
#define BACKEND_STATISTICS_H

#include <stdint.h>

#include "device/device.h"
#include "serve/fault.h"

struct text;

struct statistics {
	uint64_t requests[OPERATION_KINDS];
	uint64_t bytes_read, bytes_written;
	uint64_t postponed;	/* requests that would have made a worker wait */
	uint64_t errors;	/* requests completed with an error */
	uint64_t broken_rings;	/* because the client broke the rules */
	uint64_t batches;	/* of requests taken from a ring at once */
	uint64_t kicks_taken;
	uint64_t calls_sent, calls_suppressed;
	uint64_t polls, empty_polls; /* rounds over all rings */
	uint64_t sleeps;
	uint64_t faults[FAULT_ACTIONS];
};

void statistics_add(struct statistics *total, const struct statistics *part);

/* Adds the members of a JSON object, each after a comma. */
void statistics_print(const struct statistics *statistics, struct text *text);

#endif
