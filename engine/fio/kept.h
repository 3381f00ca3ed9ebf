/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections that setup makes to describe the devices. Some back-ends serve one
 * client and then exit. So a connection is kept for the job that begins later, if that
 * job can use it: a thread, or the only process that fio forks, which inherits it.
 */
#ifndef FIO_KEPT_H
#define FIO_KEPT_H

#include <stdbool.h>

#include "device/device.h"

/* Describes the device: over a new connection, which is kept if is_for_job, or from a
 * kept one. 0, or a negative errno with a sentence. Called before jobs run. */
int kept_describe(const struct device_config *config, bool is_for_job,
		  struct device_info *info);
/* Like device_open(), but prefers a kept connection. Any thread. */
int kept_open(struct device **dev, const struct device_config *config);
/* Ends the connections that no job took, because no job will take them. */
void kept_drop(const char *socket);
/* In a process that was forked for a job. The connections are the parent's, and are
 * closed here, unless the process is the only one to use them. */
void kept_begin_process(bool is_only);
/* True if the back-end was reached before, so a failure to reach it now means that it
 * does not accept clients any more. */
bool kept_has_reached(const char *socket);
/* True if jobs of the run make further connections to the socket. */
bool kept_is_contended(const char *socket);

#endif
