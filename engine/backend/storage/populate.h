/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Allocates the pages of memory before it is used. The first access to a page
 * takes several times as long as a request, so the first second of a
 * measurement would measure the kernel's memory management. The thread that
 * starts the back-end calls it.
 */
#ifndef BACKEND_POPULATE_H
#define BACKEND_POPULATE_H

#include <stdbool.h>
#include <stdint.h>

/* The threads that fill memory run on these CPUs, so that the memory comes from
 * the NUMA nodes of these CPUs. */
struct populate_cpus {
	const int *list;
	unsigned int count; /* 0: any */
};

/* Keeps all data, and uses huge pages as long as the kernel provides them
 * quickly, or however long that takes if `waits` is set. Pages that cannot be
 * allocated now are allocated at first use. */
void populate(void *start, uint64_t bytes, const struct populate_cpus *cpus,
	      bool waits);

#endif
