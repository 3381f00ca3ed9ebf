/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The times at which some requests of a ring were taken and completed, for a client that
 * wants to know where the time of a request goes.
 *
 * Requests are chosen by their position in the avail ring, counted from the ring's
 * start. The client chooses the same ones, so the two sides send each other nothing.
 * A trace belongs to its ring: the worker notes times, and the control thread opens and
 * writes it while the workers are parked. Noting does not allocate, lock or call the
 * system.
 */
#ifndef BACKEND_TRACE_H
#define BACKEND_TRACE_H

#include <stdint.h>

#include "ring/ring.h"

struct trace;

/* One request in `every` (a power of two). NULL if there is no memory. */
struct trace *trace_open(const struct ring *ring, unsigned int every);
/* Appends one line to the file and frees the trace; NULL is allowed. Returns 0 or a
 * negative errno. */
int trace_close(struct trace *trace, const char *path, unsigned int connection);

/* Right after these requests were taken from the ring. */
void trace_taken(struct trace *trace, const struct ring *ring,
		 const uint16_t *heads, unsigned int count);
/* Right before what is in the used ring is published. */
void trace_publishing(struct trace *trace, const struct ring *ring);

#endif
