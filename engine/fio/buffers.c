/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fio's I/O buffers in shared memory. They are allocated when a job begins, and freed
 * when nothing can write to them any more; see fio/job.h.
 */
#include <sys/mman.h>

#include "base/clock.h"
#include "base/error.h"
#include "fio/job.h"

/* The first device allocates the buffers, and the other devices of the job are told
 * about their memory. */
static int share_buffers(struct thread_data *td, struct job *job, size_t bytes)
{
	int code = 0;

	td->orig_buffer = device_alloc(job->files[0].device, bytes, 4096);
	if (!td->orig_buffer)
		return -ENOMEM;
	for (unsigned int i = 1; !code && i < job->num_files; i++)
		code = device_share_memory(job->files[i].device);
	if (code)
		device_free(job->files[0].device, td->orig_buffer);
	return code;
}

/* A replay in chunks asks for larger buffers in the middle of its run, ignores a
 * failure, and continues. So it gets private buffers, and all its requests fail. */
static int make_private(struct thread_data *td, struct job *job, size_t bytes)
{
	void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (address == MAP_FAILED)
		return 1;
	for (unsigned int i = 0; i < job->num_files; i++)
		queue_abandon(job->files[i].queue, ENOMEM);
	td->orig_buffer = address;
	job->private_bytes = bytes;
	return 0;
}

int fio_buffers_alloc(struct thread_data *td, size_t bytes)
{
	struct job *job = td->io_ops_data;
	int code;

	td->orig_buffer = NULL;
	if (job)
		code = share_buffers(td, job, bytes);
	else
		code = error_set(EINVAL, "fio wants buffers for a job that has not begun");
	if (!code) {
		job->has_had_buffers = true;
		return 0;
	}
	td->orig_buffer = NULL;
	/* fio continues without buffers and would crash at the first request. */
	fio_mark_td_terminate(td);
	fio_fail(td, code, "iomem");
	return job && job->has_had_buffers ? make_private(td, job, bytes) : 1;
}

static bool has_abandoned(const struct job *job)
{
	for (unsigned int i = 0; i < job->num_files; i++)
		if (job->files[i].queue && job->files[i].queue->abandoned)
			return true;
	return false;
}

static bool is_idle(const struct job *job)
{
	return !job_num_ready(job) && !job_num_in_flight(job);
}

/* Reports errors that fio does not ask for any more, because its run has ended. */
static void report_failures(struct job *job)
{
	for (unsigned int i = job->num_taken; i < job->num_completed; i++) {
		const struct io_u *io_u = job->completed[i];

		if (!io_u->error || job->td->error)
			continue;
		if (io_u->engine_data)
			error_set((int)io_u->error, "%s", (char *)io_u->engine_data);
		fio_fail(job->td, -(int)io_u->error, "end of the run");
	}
	job->num_completed = job->num_taken = job->num_seen = 0;
}

/* fio can end with requests in flight, for example after a replay. They are completed
 * here, within the time that a run which is over may take. */
static void drain(struct job *job)
{
	job->is_draining = true;
	job->last_progress_ns = 0;
	report_failures(job);
	while (!is_idle(job) && !has_abandoned(job)) {
		job_commit(job);
		wait_until(&job->wait, 1, clock_now_ns() + WAIT_CHECK_INTERVAL_NS);
		report_failures(job);
		fio_watch(job->td, job);
	}
	if (has_abandoned(job) && !job->td->error)
		td_verror(job->td, EIO, "end of the run");
	job->is_draining = false;
}

/* fio calls this after a failed init, too, and for a job without buffers. Memory that a
 * back-end may still write to is not freed. */
void fio_buffers_free(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (job && !is_idle(job))
		drain(job);
	if (job && job->private_bytes)
		munmap(td->orig_buffer, job->private_bytes);
	else if (job && td->orig_buffer && !has_abandoned(job))
		device_free(job->files[0].device, td->orig_buffer);
	if (job)
		job->private_bytes = 0;
	td->orig_buffer = NULL;
}
