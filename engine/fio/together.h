/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of fio's jobs may run at the same time, and how much of something they need
 * then, such as queues or memory. pyfio_virtio/fio/together.py answers the same question
 * before fio starts.
 *
 * The rules are those by which fio starts jobs. A job with stonewall waits until nothing
 * runs, and the jobs after it wait for it. A job with wait_for waits until all jobs of
 * that name have ended. A job with startdelay is passed over until its time has come,
 * so it may run later than a stonewall that follows it. Jobs may be longer or shorter
 * than expected, so only these rules count, not durations.
 */
#ifndef FIO_TOGETHER_H
#define FIO_TOGETHER_H

#include <stdbool.h>
#include <stdint.h>

/* The number of jobs that fio has, on any engine, which is known once all are parsed.
 * The jobs are numbered from 0. */
unsigned int fio_num_jobs(void);
/* Reads the order of the jobs, once; false: there is no memory for it. */
bool fio_place_jobs(void);
/* The most that is needed at one time, of all times at which `job` may run. needs[i] is
 * what job i needs while it runs. The order of the jobs was read. */
uint64_t fio_most_at_once(const uint64_t *needs, unsigned int job);

#endif
