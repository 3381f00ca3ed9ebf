/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fills memory before it is used: the first touch of a page takes ten times as
 * long as a request, so the first second of a measurement would measure the
 * kernel's memory management. At start, from the thread that starts the
 * back-end.
 */
#ifndef BACKEND_POPULATE_H
#define BACKEND_POPULATE_H

#include <stdint.h>

/* The CPUs whose memory is to be taken, where some is nearer than other. */
struct populate_cpus {
	const int *list;
	unsigned int count; /* 0: any */
};

/* Changes no byte that is there already, and takes huge pages as long as they
 * are quick to have. What cannot be filled now is filled as it is used. */
void populate(void *start, uint64_t bytes, const struct populate_cpus *cpus);

#endif
