/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters of each queue and of each waiting thread. They are plain fields: only
 * the thread that owns the queue or the wait writes them, and others read them after
 * it has stopped.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdint.h>

/* The batches are 1, 2-3, 4-7 ... 64-127, 128 and more. */
#define COUNTERS_BATCHES 8

struct queue_counters {
	uint64_t requests;         /* chains submitted */
	uint64_t kicks;            /* sent */
	uint64_t kicks_suppressed; /* not sent, because the back-end did not want them */
	/* Kicks, with other requests in flight, during which the back-end ran on
	 * our CPU. */
	uint64_t kicks_switched;
	uint64_t errors;           /* requests that failed */
	uint64_t retries;          /* requests that were sent again (virtio-scsi) */
	uint64_t reconnects;       /* times that the ring was started on a new connection */
	uint64_t replayed;         /* requests that were in flight then, and sent again */
	uint64_t away_ns;          /* from a hang-up until the ring ran again, in total */
	uint64_t longest_away_ns;
	uint64_t batches[COUNTERS_BATCHES]; /* successful reaps, by their number of chains */
};

struct wait_counters {
	uint64_t looks;        /* at the ring */
	uint64_t empty_looks;  /* that found nothing */
	uint64_t spins;        /* wait=adaptive: steps that spun */
	uint64_t yields;       /* wait=adaptive: times that the CPU was yielded */
	uint64_t sleeps;       /* wait=sleepy and adaptive */
	uint64_t sleep_ns;     /* time asleep */
	uint64_t oversleep_ns; /* the part of it beyond the length asked for */
	uint64_t polls;        /* times that the thread blocked on the eventfd */
	uint64_t poll_ns;      /* time blocked */
	uint64_t calls;        /* calls taken from the eventfd */
};

#endif
