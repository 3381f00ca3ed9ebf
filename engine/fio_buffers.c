/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fio's I/O buffers in shared memory: allocated when a job begins, freed when
 * nothing can write to them any more; see fio_job.h.
 */
#include "clock.h"
#include "error.h"
#include "fio_job.h"

/* Every device of the job gets to know the memory that the first one found. */
int fio_buffers_alloc(struct thread_data *td, size_t bytes)
{
	struct job *job = td->io_ops_data;
	int code = 0;

	td->orig_buffer = device_alloc(job->files[0].device, bytes, 4096);
	if (!td->orig_buffer)
		code = -ENOMEM;
	for (unsigned int i = 1; !code && i < job->num_files; i++)
		code = device_share_memory(job->files[i].device);
	/* fio goes on without buffers, and would crash at the first request. */
	if (code)
		td->terminate = true;
	return code ? fio_fail(td, code, "iomem") : 0;
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
	for (unsigned int i = 0; i < job->num_files; i++)
		if (job->files[i].queue->vq.in_flight)
			return false;
	return true;
}

/* fio can end with requests in flight (it does so after a replay). What was
 * handed over is carried out, if it takes no longer than a stopped run may. */
static void drain(struct job *job)
{
	uint64_t deadline_ns = clock_now_ns() + NS_PER_S;

	job->max_completed = job->td->o.iodepth;
	do {
		for (unsigned int i = 0; i < job->num_files; i++)
			queue_commit(job->files[i].queue);
		job->num_completed = 0;
		wait_until(&job->wait, 1, deadline_ns);
	} while (!is_idle(job) && !has_abandoned(job) &&
		 clock_now_ns() < deadline_ns);
}

void fio_buffers_free(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (td->orig_buffer && !is_idle(job) && !has_abandoned(job))
		drain(job);
	/* fio calls this after a failed init too. What a back-end may still
	 * write to is not given to anybody else. */
	if (td->orig_buffer && !has_abandoned(job))
		device_free(job->files[0].device, td->orig_buffer);
	td->orig_buffer = NULL;
}
