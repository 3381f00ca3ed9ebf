/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU time of the process that serves a file of a job, for stats_file; see fio/job.h. The
 * job's own thread asks for it when the job begins and when it has ended. The kernel tells
 * the CPU time of any process to any user.
 */
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "fio/job.h"

/* The process that listens on the socket; 0: not known, such as one in another container. */
static pid_t server_of(const struct job_file *file)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (getsockopt(file->device->vu.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return 0;
	return peer.pid;
}

static bool cpu_of(pid_t pid, uint64_t *spent_ns)
{
	struct timespec spent;
	clockid_t clock;

	/* 0 would be this process. */
	if (pid <= 0 || clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &spent))
		return false;
	*spent_ns = (uint64_t)spent.tv_sec * NS_PER_S + (uint64_t)spent.tv_nsec;
	return true;
}

void fio_backend_cpu_begin(struct job_file *file)
{
	file->server = server_of(file);
	if (!cpu_of(file->server, &file->server_begun_ns))
		file->server = 0;
}

bool fio_backend_cpu_end(const struct job_file *file, uint64_t *ended_ns)
{
	/* After a restart of the back-end, another process serves the file, perhaps with the
	 * number of the first. */
	return file->server && server_of(file) == file->server &&
	       cpu_of(file->server, ended_ns) && *ended_ns >= file->server_begun_ns;
}
