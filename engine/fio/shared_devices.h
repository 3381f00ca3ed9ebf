/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registry of devices that the threads of one process share, and the memory that
 * jobs with the same hugepages= use. Jobs with thread=1 on the same socket share one
 * connection, and each has a queue of its own.
 *
 * First every job is planned, so that the first job that acquires a device opens it
 * with enough queues and memory for all. Any thread may plan, acquire and release. A
 * job that is planned late shares the device that is already open.
 *
 * A forked process is another user of the back-end: see registry_begin_process().
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include <stdbool.h>

#include "device/device.h"

/*
 * Empties the registry in a process that was forked for one job; the process calls it
 * first. It closes the devices and the memory that it inherited; the parent's threads
 * still use theirs. The fork may have happened while they were changing something or
 * held the lock, so nothing that may be half changed is used. A second call does
 * nothing.
 */
void registry_begin_process(void);
/* Plans a job, which is fio's job of this number, on config->socket. num_queues of config
 * is a minimum, and memory_bytes is what this job needs. most_jobs is the number of
 * similar jobs that may start at once without having been planned before the first one
 * acquires the device; else 1. The device gets a queue for each job that may run at the
 * same time, or all queues that the back-end has. Returns the most jobs that may
 * use the device at one time, of those planned so far, or -EINVAL if they disagree on
 * its options. So once there are too many, every later job is refused, too: fio would
 * never end if some of the jobs ran and it had to pass over others again and again. */
int registry_plan(const struct device_config *config, unsigned int job,
		  unsigned int most_jobs);

/* Opens and starts the device that was planned for the same socket and disk, unless it
 * is open already. */
int registry_acquire(const struct device_config *config, unsigned int job,
		     struct device **dev);
/* Closes the device after its last user, and the memory after its last device. If jobs
 * that were planned on the device have not begun, its connection is kept for them. */
void registry_release(struct device *dev);
/* Nobody waits for this job any more. */
void registry_end_job(unsigned int job);
/* True if a job that was planned on the socket has not begun. */
bool registry_awaits(const char *socket);

#endif
