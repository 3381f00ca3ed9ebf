/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures a log of I/O before fio reads it. fio reads a log only when its job has
 * begun, or even in chunks while it runs, but some back-ends take memory only once, so
 * the largest request must be known earlier.
 */
#ifndef FIO_LOGS_H
#define FIO_LOGS_H

#include <stdint.h>

struct log_measure {
	uint64_t most_bytes; /* of a request; 0: the log could not be read */
	unsigned int depth;  /* that fio takes from a binary log, else 1 */
};

/* Reads a regular file. Other files can be read only once, so they are left to fio.
 * Requests are rounded up to align_bytes, unless it is 0. */
struct log_measure log_measure(const char *path, uint64_t align_bytes);

#endif
