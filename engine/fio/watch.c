/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends a wait when requests will not complete, because the back-end hung up, the run is
 * over, or requests time out; see fio/job.h. The job's thread calls it now and then
 * while it waits, never on the I/O path.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "fio/job.h"
#include "fio/signals.h"

/* When the run is over, the back-end may complete nothing for this long, or for so many
 * times as long as it was seen to need. */
#define LEAST_GRACE_S 1ull
#define GRACE_MARGIN 5ull

/* What stats_file lists for each file. More of them would make no picture clearer. */
#define MOST_ABSENCES 1000

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

static void notice_changes(const struct job_file *file)
{
	if (device_notice_changes(file->device))
		log_info("fio_virtio: %s: %s\n", file->device->vu.path, error_message());
}

const char *fio_explain(const struct job_file *file, const struct request *req)
{
	notice_changes(file);
	return queue_explain(file->queue, req);
}

/* Its memory is made when the first back-end comes back. */
static void note_absence(struct job_file *file, uint64_t length_ns)
{
	uint64_t now_ns = clock_now_ns();

	if (!file->absences)
		file->absences = calloc(MOST_ABSENCES, sizeof(*file->absences));
	if (!file->absences || file->num_absences == MOST_ABSENCES)
		return;
	file->absences[file->num_absences++] = (struct absence){ now_ns - length_ns, now_ns };
}

/* Requests get the whole of their time again from a back-end that is back. */
static void check_connection(struct job *job, struct job_file *file)
{
	const struct queue_counters *counters = &file->queue->counters;
	uint64_t away_before_ns = counters->away_ns;
	int state = device_keep_connected(file->device, file->queue);

	/* Without this, poll(2) would return at once while the back-end is away. */
	file->watched_fd = state == CONNECTION_AWAY ? -1 : file->device->vu.fd;
	job->is_away |= state == CONNECTION_AWAY;
	if (state == CONNECTION_IS_BACK) {
		job->last_progress_ns = clock_now_ns();
		note_absence(file, counters->away_ns - away_before_ns);
	}
	if (state < 0)
		abandon(file, EIO);
	else if (state == CONNECTION_RUNS)
		notice_changes(file);
}

static void check_connections(struct job *job)
{
	job->is_away = false;
	for (unsigned int i = 0; i < job->num_files; i++)
		if (!job->files[i].queue->abandoned)
			check_connection(job, &job->files[i]);
}

static void abandon_all(struct job *job, int code)
{
	for (unsigned int i = 0; i < job->num_files; i++)
		if (queue_in_flight(job->files[i].queue))
			abandon(&job->files[i], code);
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

/* The mean latency by Little's law, which also shows a slow disk that always had several
 * requests to work on. */
static uint64_t mean_latency_ns(const struct job *job, uint64_t now_ns)
{
	return (now_ns - job->begun_ns) / job->reaped * job_num_in_flight(job);
}

/* How long requests took in this run: the mean latency, or the longest time in which
 * nothing completed, including the present one. If nothing has completed at all, any
 * time is possible. */
static uint64_t time_seen_ns(const struct job *job, uint64_t now_ns)
{
	uint64_t longest_ns = now_ns - job->last_progress_ns, mean_ns;

	if (!job->reaped)
		return UINT64_MAX;
	mean_ns = mean_latency_ns(job, now_ns);
	if (job->longest_gap_ns > longest_ns)
		longest_ns = job->longest_gap_ns;
	return mean_ns > longest_ns ? mean_ns : longest_ns;
}

/* The whole seconds that requests may take when the run is over. */
static uint64_t grace_s(const struct job *job, uint64_t now_ns)
{
	uint64_t seen_ns = time_seen_ns(job, now_ns), seconds;

	if (seen_ns > UINT64_MAX / GRACE_MARGIN)
		return UINT64_MAX;
	seconds = (seen_ns * GRACE_MARGIN + NS_PER_S - 1) / NS_PER_S;
	return seconds > LEAST_GRACE_S ? seconds : LEAST_GRACE_S;
}

/* Longer times are request_timeout's; see check_progress(). */
static bool is_grace_over(const struct job *job, uint64_t now_ns, uint64_t limit_s)
{
	uint64_t since_ns = job->stop_seen_ns > job->last_progress_ns ?
			    job->stop_seen_ns : job->last_progress_ns;

	return (now_ns - since_ns) / NS_PER_S >= limit_s;
}

static void check_end(struct thread_data *td, struct job *job, uint64_t now_ns)
{
	const struct options *options = td->eo;
	uint64_t limit_s;

	if (!is_over(td, job))
		return;
	if (!job->stop_seen_ns) {
		job->stop_seen_ns = now_ns;
		job->grace_s = grace_s(job, now_ns);
	}
	limit_s = job->grace_s;
	if (options->request_timeout_s && limit_s >= options->request_timeout_s)
		return;
	if (!is_grace_over(job, now_ns, limit_s))
		return;
	error_set(ETIMEDOUT, "the run is over and the back-end completed nothing "
		  "for %llu s: its requests in flight fail",
		  (unsigned long long)limit_s);
	abandon_all(job, ETIMEDOUT);
}

void fio_watch_terminate(struct thread_data *td)
{
	(void)td;
	fio_signals_count();
}

/* fio marks the job at the first signal, and at other ends of a run. */
static void check_signals(struct thread_data *td, struct job *job)
{
	if (!td->terminate)
		return;
	if (!job->is_stop_asked) {
		fio_signals_count();
		job->signals_before = fio_signals_counted();
	}
	job->is_stop_asked = true;
	if (fio_signals_counted() == job->signals_before)
		return;
	error_set(ECANCELED, "a second signal ended the run at once: its requests in "
		  "flight fail");
	abandon_all(job, ECANCELED);
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
	if (job->last_progress_ns && now_ns - job->last_progress_ns > job->longest_gap_ns)
		job->longest_gap_ns = now_ns - job->last_progress_ns;
	job->returned_before = returned;
	job->last_progress_ns = now_ns;
}

static void check_progress(struct thread_data *td, struct job *job, uint64_t now_ns)
{
	const struct options *options = td->eo;
	uint64_t limit_ns = options->request_timeout_s * NS_PER_S;

	if (!limit_ns || job->is_away || now_ns - job->last_progress_ns < limit_ns)
		return;
	/* First try a reset, after which the requests in flight come back. */
	if (reset_units(job)) {
		job->last_progress_ns = now_ns;
		return;
	}
	error_set(ETIMEDOUT, "the back-end completed nothing for %u s "
		  "(request_timeout): its requests in flight fail",
		  options->request_timeout_s);
	abandon_all(job, ETIMEDOUT);
}

void fio_watch_end(struct job *job)
{
	note_progress(job, clock_now_ns());
}

void fio_watch(struct thread_data *td, struct job *job)
{
	uint64_t now_ns;

	check_connections(job);
	now_ns = clock_now_ns();
	note_progress(job, now_ns);
	check_signals(td, job);
	check_end(td, job, now_ns);
	check_progress(td, job, now_ns);
}
