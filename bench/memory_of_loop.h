/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory of a loop that copies blocks. One thread calls this. */
#ifndef BENCH_MEMORY_OF_LOOP_H
#define BENCH_MEMORY_OF_LOOP_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

/* Memory that is filled, on huge pages where the system has some. NULL: there is none. */
static inline char *make_memory(size_t bytes)
{
	size_t whole = (bytes + HUGE_PAGE_BYTES - 1) & ~(HUGE_PAGE_BYTES - 1);
	char *memory = aligned_alloc(HUGE_PAGE_BYTES, whole);

	if (!memory)
		return NULL;
	madvise(memory, whole, MADV_HUGEPAGE);
	memset(memory, 1, whole);
	return memory;
}

#endif
