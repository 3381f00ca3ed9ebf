/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU time of the process that serves a file of a job, for stats_file; see fio/job.h. The
 * job's own thread asks for it when the job begins and when it has ended. The kernel tells
 * the CPU time of any process to any user.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "fio/job.h"

/* The process that called listen(2) for the socket; 0: not known, such as one in another
 * container. Another process may serve it, such as a child, so its CPU time may be too little. */
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

/* When the process was started, in ticks since the boot; 0: not known, because it has ended, or
 * because /proc hides the processes of other users. */
static uint64_t start_of(pid_t pid)
{
	char text[1024];
	uint64_t ticks = 0;
	const char *rest;
	ssize_t length;
	int fd;

	snprintf(text, sizeof(text), "/proc/%d/stat", (int)pid);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	/* The name, in brackets, may hold anything. The start is the 20th field after it. */
	rest = strrchr(text, ')');
	for (int i = 0; rest && i < 20; i++)
		rest = strchr(rest + 1, ' ');
	return rest && sscanf(rest, "%" SCNu64, &ticks) == 1 ? ticks : 0;
}

void fio_backend_cpu_begin(struct job_file *file)
{
	file->server = server_of(file);
	if (!cpu_of(file->server, &file->server_begun_ns))
		file->server = 0;
	file->server_start = file->server ? start_of(file->server) : 0;
}

bool fio_backend_cpu_end(const struct job_file *file, uint64_t *ended_ns)
{
	/* After a restart of the back-end, another process serves the file, perhaps with the
	 * number of the first. */
	return file->server && server_of(file) == file->server &&
	       start_of(file->server) == file->server_start &&
	       cpu_of(file->server, ended_ns) && *ended_ns >= file->server_begun_ns;
}
