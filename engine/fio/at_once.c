/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that are carried out before fio's queue() returns, as libaio carries them out:
 * flushes, and the trims of trimwrite; see fio/job.h. Other requests stay in flight
 * meanwhile. Called by the job's thread.
 */
#include "base/error.h"
#include "fio/job.h"

/* fio asks for a flush again until a flush is the last request that has completed. If
 * flushes were in flight, it would flush many times as often as fsync= says. In trimwrite
 * it writes to a block that it trims, without waiting for the trim. */
bool fio_is_at_once(const struct thread_data *td, const struct io_u *io_u)
{
	return ddir_sync(io_u->ddir) ||
	       (io_u->ddir == DDIR_TRIM && td_trimwrite(td));
}

static void note_issue(struct thread_data *td, struct io_u *io_u)
{
	if (!fio_fill_issue_time(td))
		return;
	fio_gettime(&io_u->issue_time, NULL);
	if (td->o.read_iolog_file)
		td->last_issue = io_u->issue_time;
}

/* Whether io_u has come back. If so, getevents will not count it. */
static bool take_back(struct job *job, const struct io_u *io_u)
{
	for (unsigned int i = job->num_taken; i < job->num_completed; i++) {
		if (job->completed[i] != io_u)
			continue;
		job->num_completed--;
		memmove(&job->completed[i], &job->completed[i + 1],
			(job->num_completed - i) * sizeof(*job->completed));
		return true;
	}
	return false;
}

/* fio repeats a flush that fails, without end if it continues on errors. So it learns of
 * the error by the job's error, and takes the flush for done. */
static void fail_flush(struct thread_data *td, struct io_u *io_u)
{
	if (!td->error)
		td_verror(td, (int)io_u->error, "flush");
	io_u->error = 0;
}

enum fio_q_status fio_finish_at_once(struct thread_data *td, struct job_file *file,
				     struct io_u *io_u)
{
	struct job *job = td->io_ops_data;

	note_issue(td, io_u);
	fio_forget_seen(job);
	while (!take_back(job, io_u))
		fio_wait_for(td, job, job_num_ready(job) + 1, NULL);
	if (!io_u->error)
		return FIO_Q_COMPLETED;
	/* fio prints no message about an error of a request that is not queued. */
	if (io_u->engine_data)
		fio_report_failure(file, io_u->engine_data);
	if (ddir_sync(io_u->ddir))
		fail_flush(td, io_u);
	return FIO_Q_COMPLETED;
}
