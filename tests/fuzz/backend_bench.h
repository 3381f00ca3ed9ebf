/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device of the back-end with its storage and one worker, which has no thread: the harness
 * serves the rings itself, so that each input does the same each time.
 */
#ifndef FUZZ_BACKEND_BENCH_H
#define FUZZ_BACKEND_BENCH_H

#include "input.h"
#include "protocol/connection.h"
#include "serve/worker.h"

#define BENCH_BLOCK_BYTES 512
#define BENCH_DISK_BYTES 16384
#define BENCH_QUEUES 2

struct bench {
	struct storage storage;
	struct device device;
	struct latency latency;
	struct fault_set faults;
	struct workers workers;
	struct worker worker;
	struct statistics statistics;
};

/* Prepares the one bench that there is, with choices of the input: the kind of device, the
 * back-end that is imitated, and faults. */
struct bench *bench_begin(struct input *input);
/* Serves all rings until nothing is left to do now, and drops those that broke. */
void bench_serve(struct bench *bench);

#endif
