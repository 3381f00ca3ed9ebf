/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends a wait when requests will not complete, because the back-end hung up, the run is
 * over, or requests time out; see fio/job.h. The job's thread calls it now and then
 * while it waits, never on the I/O path.
 */
#include "base/clock.h"
#include "base/error.h"
#include "fio/job.h"

/* The time without a completion after which requests fail when the run is over. */
#define STOP_GRACE_NS NS_PER_S

void fio_report_failure(struct job_file *file, const char *why)
{
	if (!file->is_reported)
		log_err("fio_virtio: %s: %s\n", file->device->vu.path, why);
	file->is_reported = true;
}

static void abandon(struct job_file *file, int code)
{
	queue_abandon(file->queue, code);
	fio_report_failure(file, file->queue->reason);
}

static void check_connections(struct job *job)
{
	for (unsigned int i = 0; i < job->num_files; i++) {
		struct job_file *file = &job->files[i];

		if (!file->queue->abandoned && device_is_gone(file->device))
			abandon(file, EIO);
	}
}

static void abandon_all(struct job *job)
{
	for (unsigned int i = 0; i < job->num_files; i++)
		if (queue_in_flight(job->files[i].queue))
			abandon(&job->files[i], ETIMEDOUT);
}

/* fio checks its runtime only between requests, so it is checked here as well. */
static bool is_over(struct thread_data *td, const struct job *job)
{
	/* The flush of end_fsync=1 may take long; only request_timeout limits it. */
	if (td->runstate == TD_FSYNCING)
		return false;
	if (td->terminate || job->is_draining)
		return true;
	return td->o.timeout && utime_since_now(&td->epoch) >=
				td->o.timeout + td->o.ramp_time;
}

static void check_end(struct thread_data *td, struct job *job, uint64_t now_ns)
{
	if (!is_over(td, job))
		return;
	if (!job->stop_seen_ns)
		job->stop_seen_ns = now_ns;
	if (now_ns - job->stop_seen_ns < STOP_GRACE_NS ||
	    now_ns - job->last_progress_ns < STOP_GRACE_NS)
		return;
	error_set(ETIMEDOUT, "the run is over and the back-end completed nothing "
		  "for a second: its requests in flight fail");
	abandon_all(job);
}

/* The requests that took too long fail when the reset brings them back. The reset brings
 * back the requests of other jobs, too, and their queues send those again. */
static bool reset_unit(const struct job_file *file)
{
	queue_end_retries(file->queue);
	return !device_reset_unit(file->device);
}

/* Resets the units once in a job. A unit that hangs again after that is abandoned. */
static bool reset_units(struct job *job)
{
	bool is_reset = false;

	for (unsigned int i = 0; i < job->num_files; i++)
		if (queue_in_flight(job->files[i].queue) && !job->has_reset)
			is_reset |= reset_unit(&job->files[i]);
	job->has_reset = true;
	return is_reset;
}

/* All requests that came back, with those that were sent again: they show, too, that the
 * back-end works. */
static uint64_t count_returned(const struct job *job)
{
	uint64_t count = job->reaped;

	for (unsigned int i = 0; i < job->num_files; i++)
		count += job->files[i].queue->counters.retries;
	return count;
}

static void note_progress(struct job *job, uint64_t now_ns)
{
	uint64_t returned = count_returned(job);

	if (returned == job->returned_before && job->last_progress_ns)
		return;
	job->returned_before = returned;
	job->last_progress_ns = now_ns;
}

static void check_progress(struct thread_data *td, struct job *job, uint64_t now_ns)
{
	const struct options *options = td->eo;
	uint64_t limit_ns = options->request_timeout_s * NS_PER_S;

	if (!limit_ns || now_ns - job->last_progress_ns < limit_ns)
		return;
	/* First try a reset, after which the requests in flight come back. */
	if (reset_units(job)) {
		job->last_progress_ns = now_ns;
		return;
	}
	error_set(ETIMEDOUT, "the back-end completed nothing for %u s "
		  "(request_timeout): its requests in flight fail",
		  options->request_timeout_s);
	abandon_all(job);
}

void fio_watch(struct thread_data *td, struct job *job)
{
	uint64_t now_ns = clock_now_ns();

	check_connections(job);
	note_progress(job, now_ns);
	check_end(td, job, now_ns);
	check_progress(td, job, now_ns);
}
