/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is counted, per queue and per waiting thread: plain fields, each
 * written by the one thread that owns the queue or the wait, and read by
 * others only after it has stopped.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdint.h>

/* Batches of 1, 2-3, 4-7 ... 64-127, 128 and more. */
#define COUNTERS_BATCHES 8

struct queue_counters {
	uint64_t requests;         /* chains submitted */
	uint64_t kicks;            /* sent */
	uint64_t kicks_suppressed; /* that the back-end did not want */
	/* Of the kicks with other requests in flight, those during which the
	 * back-end ran on our CPU. */
	uint64_t kicks_switched;
	uint64_t errors;           /* requests that failed */
	uint64_t batches[COUNTERS_BATCHES]; /* reaps that found something, by size */
};

struct wait_counters {
	uint64_t looks;        /* at the ring */
	uint64_t empty_looks;  /* that found nothing */
	uint64_t spins;        /* wait=adaptive: times that it looked on and on */
	uint64_t yields;       /* wait=adaptive: of the CPU, between looks */
	uint64_t sleeps;       /* wait=sleepy and adaptive */
	uint64_t sleep_ns;     /* time asleep */
	uint64_t oversleep_ns; /* of it, beyond what was asked for */
	uint64_t polls;        /* times that the thread blocked on the eventfd */
	uint64_t poll_ns;      /* time blocked */
	uint64_t calls;        /* calls taken from the eventfd */
};

#endif
