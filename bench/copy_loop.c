/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies blocks from random places of a large memory to small buffers in turn: the work
 * that a back-end with a disk in memory cannot avoid. The difference from a run of fio on
 * such a disk is what requests cost.
 *
 * copy_loop RESULT DEPTH BYTES MILLISECONDS BLOCK_BYTES: BYTES is the size of the large
 * memory, and DEPTH the number of the buffers. Both are in huge pages where the system has
 * some. It writes the file RESULT. It has one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "memory_of_loop.h"
#include "random.h"
#include "result.h"

static int run(char *from, size_t bytes, char *buffers, size_t depth, size_t block_bytes,
	       uint64_t length_ns, const char *result)
{
	static struct histogram latencies;
	uint64_t random = 88172645463325252ull, blocks = bytes / block_bytes;
	uint64_t begun_ns = clock_now_ns(), now_ns = begun_ns, before_ns;

	for (size_t i = 0; now_ns - begun_ns < length_ns; i++) {
		before_ns = now_ns;
		memcpy(buffers + i % depth * block_bytes,
		       from + random_next(&random) % blocks * block_bytes, block_bytes);
		now_ns = clock_now_ns();
		histogram_note(&latencies, now_ns - before_ns);
	}
	return result_write(result, &latencies, now_ns - begun_ns) != 0;
}

int main(int argc, char **argv)
{
	size_t depth, bytes, block_bytes;
	char *from, *buffers;

	if (argc != 6)
		return 2;
	depth = strtoull(argv[2], NULL, 10);
	bytes = strtoull(argv[3], NULL, 10);
	block_bytes = strtoull(argv[5], NULL, 10);
	if (!depth || !block_bytes || bytes < block_bytes) {
		fprintf(stderr, "usage: copy_loop RESULT DEPTH BYTES MILLISECONDS "
			"BLOCK_BYTES\n");
		return 2;
	}
	from = make_memory(bytes);
	buffers = make_memory(depth * block_bytes);
	if (!from || !buffers) {
		fprintf(stderr, "copy_loop: no memory\n");
		return 1;
	}
	return run(from, bytes, buffers, depth, block_bytes,
		   strtoull(argv[4], NULL, 10) * NS_PER_MS, argv[1]);
}
