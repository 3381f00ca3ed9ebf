/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The devices that the threads of one process share, and the one memory that
 * all of them use: jobs with thread=1 on the same socket get one connection,
 * a queue each.
 *
 * First every job is planned, so that the first one that acquires a device
 * opens it with queues and memory enough for all. Plan, acquire and release may
 * come from any thread; a plan that comes late finds what is there already.
 *
 * A forked process is another user of the back-end: see registry_begin_process().
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include <stdbool.h>

#include "device/device.h"

/*
 * For a process that was forked for one job, before its other calls: forgets the
 * plans and gives up the devices and the memory that it got from its parent, whose
 * threads go on with them. It was forked at any moment of theirs: what they were
 * changing, a locked lock too, is not touched. A second call does nothing.
 */
void registry_begin_process(void);
/* What is planned from now on runs after what was planned before. */
void registry_next_phase(void);
/* Plans a job on config->socket. config's num_queues is a minimum, its
 * memory_bytes what this job needs. most_jobs: how many like it may come at once
 * without having been planned before the first one acquires; else 1. The device
 * gets a queue for each job, as far as the back-end has them. Returns how many jobs
 * of this phase use the device, or -EINVAL if the jobs disagree on how it is to be
 * set up. */
int registry_plan(const struct device_config *config, unsigned int most_jobs);

/* Opens and starts the device that was planned with a config for the same
 * socket and disk, or joins those who use it. */
int registry_acquire(const struct device_config *config, struct device **dev);
/* The last one out closes the device, and the memory with the last device. */
void registry_release(struct device *dev);

#endif
