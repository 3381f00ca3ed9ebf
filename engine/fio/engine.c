/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fio's ioengine: the hooks that fio calls while a job runs, and the only exported
 * function, get_ioengine().
 *
 * The thread (or process) of a job calls its hooks and owns its queues, so the I/O path
 * takes no lock. The hooks for the time before the run are in fio/setup.c and
 * fio/start.c.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "fio/guard.h"
#include "fio/job.h"
#include "fio/notes.h"
#include "fio/signals.h"

/* ---- submission ------------------------------------------------------------ */

static enum fio_q_status complete_now(struct io_u *io_u, int code)
{
	io_u->error = code;
	if (code)
		io_u->engine_data = strdup(error_message());
	return FIO_Q_COMPLETED;
}

static void defer(const struct job *job, struct job_file *file, struct io_u *io_u)
{
	unsigned int last = file->backlog_first + file->backlog_count++;

	file->backlog[last % job->depth] = io_u;
}

static void note_busy(struct job *job, struct job_file *file)
{
	if (file->is_busy)
		return;
	file->is_busy = true;
	job->busy[job->num_busy++] = file;
}

/* A device without FLUSH writes through: a completed write is stable
 * (virtio 1.2, 5.2.6.2). */
static bool needs_no_flush(const struct queue *queue, const struct io_u *io_u)
{
	return ddir_sync(io_u->ddir) && !queue->disk->info.can_flush;
}

static int hook_commit(struct thread_data *td);

static enum fio_q_status hook_queue(struct thread_data *td, struct io_u *io_u)
{
	struct job *job = td->io_ops_data;
	struct job_file *file = &job->files[io_u->file->fileno];
	struct queue *queue = file->queue;
	int code = queue->abandoned;

	if (code || needs_no_flush(queue, io_u))
		return complete_now(io_u, code);
	note_busy(job, file);
	if (queue->num_free)
		code = fio_submit(file, io_u);
	else
		defer(job, file, io_u);
	if (code) {
		/* fio prints no message about a request that fails before it is queued. */
		fio_report_failure(file, error_message());
		return complete_now(io_u, code);
	}
	if (fio_is_at_once(td, io_u)) {
		hook_commit(td);
		return fio_finish_at_once(td, file, io_u);
	}
	job->submitted[job->num_submitted++] = io_u;
	return FIO_Q_QUEUED;
}

/* Does the accounting that fio wants for the submitted requests. now is their time of
 * issue, or NULL if fio does not want it. */
static void mark_issued(struct thread_data *td, struct job *job,
			const struct timespec *now)
{
	unsigned int count = job->num_submitted;

	job->num_submitted = 0;
	io_u_mark_submit(td, count);
	if (!now)
		return;
	for (unsigned int i = 0; i < count; i++) {
		job->submitted[i]->issue_time = *now;
		io_u_queued(td, job->submitted[i]);
	}
	if (td->o.read_iolog_file)
		td->last_issue = *now;
}

/* A back-end completes more requests per second if it finds several at a time, because
 * fewer cache lines travel. So requests gather (they are submitted, but not yet
 * published) while the back-end has at least sixteen times as many to work on. They
 * are published at the latest when a look finds fewer completions than fio wants. */
static bool has_enough(const struct queue *queue)
{
	unsigned int gathered = virtq_num_gathered(&queue->vq);

	return gathered * 16 <= queue->vq.in_flight - gathered;
}

/* Requests also gather if that saves a kick, as long as fio has completions to take. They
 * do that for a short time only, so the next commit considers them again. */
static void publish_unless_it_gathers(struct job *job, struct queue *queue)
{
	if (job->may_gather && has_enough(queue))
		return;
	if (job->may_gather && job_num_ready(job) && queue_saves_kick(queue))
		job->must_publish = true;
	else
		queue_commit(queue);
}

static void publish_all(struct job *job)
{
	job->must_publish = false;
	for (unsigned int i = 0; i < job->num_busy; i++)
		publish_unless_it_gathers(job, job->busy[i]->queue);
}

/* Considers the queues of the submitted requests. All others that are busy are considered,
 * too, if there may be something new about them, or if that is the shorter list. */
static void publish(struct job *job)
{
	if (job->num_submitted >= job->num_busy || job->must_publish) {
		publish_all(job);
		return;
	}
	for (unsigned int i = 0; i < job->num_submitted; i++)
		publish_unless_it_gathers(
			job, job->files[job->submitted[i]->file->fileno].queue);
}

/* The time of issue is the moment when fio has submitted a batch. The time during which
 * a request gathers counts as its latency; this latency is the cost of a higher request
 * rate. The accounting follows after the kick, while the back-end works. */
static void commit(struct thread_data *td, struct job *job)
{
	bool wants_time = fio_fill_issue_time(td);
	struct timespec now;

	if (wants_time)
		fio_gettime(&now, NULL);
	publish(job);
	mark_issued(td, job, wants_time ? &now : NULL);
}

/* fio also calls it when it has queued nothing. */
static int hook_commit(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (job->num_submitted)
		commit(td, job);
	return 0;
}

/* ---- completion ------------------------------------------------------------- */

static uint64_t limit_of(const struct timespec *timeout)
{
	if (!timeout)
		return UINT64_MAX;
	return clock_now_ns() + (uint64_t)timeout->tv_sec * NS_PER_S +
	       (uint64_t)timeout->tv_nsec;
}

void fio_forget_seen(struct job *job)
{
	job->num_completed -= job->num_seen;
	job->num_taken -= job->num_seen;
	if (job->num_completed)
		memmove(job->completed, job->completed + job->num_seen,
			job->num_completed * sizeof(*job->completed));
	job->num_seen = 0;
}

void fio_wait_for(struct thread_data *td, struct job *job, unsigned int min,
		  const struct timespec *timeout)
{
	uint64_t limit_ns = limit_of(timeout);

	job_commit(job);
	job->last_progress_ns = 0;
	while (wait_until(&job->wait, min, clock_now_ns() + WAIT_CHECK_INTERVAL_NS) < min) {
		fio_watch(td, job);
		if (clock_now_ns() >= limit_ns)
			break;
	}
	if (job->last_progress_ns)
		fio_watch_end(job);
}

/* The number that is ready then. A function of its own, because taking what is ready already
 * needs few registers, and saving them all takes longer. */
static unsigned int __attribute__((noinline))
look_for(struct thread_data *td, struct job *job, unsigned int min,
	 const struct timespec *timeout)
{
	unsigned int before = job_num_ready(job);

	fio_forget_seen(job);
	job->wait.counters.looks++;
	job->wait.counters.empty_looks += fio_look(job) == before;
	if (job_num_ready(job) < min)
		fio_wait_for(td, job, min, timeout);
	return job_num_ready(job);
}

static int hook_getevents(struct thread_data *td, unsigned int min,
			  unsigned int max, const struct timespec *timeout)
{
	struct job *job = td->io_ops_data;
	unsigned int ready = job_num_ready(job);

	if (ready < max)
		ready = look_for(td, job, min, timeout);
	if (ready > max)
		ready = max;
	job->num_taken += ready;
	return (int)ready;
}

/* Returns one after the other and ignores the number, because with latency_target fio
 * gets further events before it has asked for all of the last ones. */
static struct io_u *hook_event(struct thread_data *td, int event)
{
	struct job *job = td->io_ops_data;

	(void)event;
	return job->completed[job->num_seen++];
}

/* fio prints and frees what it gets. */
static char *hook_errdetails(ERRDETAILS_ARGUMENTS)
{
	char *details = io_u->engine_data;

	ERRDETAILS_UNUSED;
	io_u->engine_data = NULL;
	return details ? details : strdup("no details");
}

/* ---- a job's life ----------------------------------------------------------------- */

/* With fsync_on_close, fio flushes each file at the end of the run as with end_fsync. It
 * also calls fsync(2) when it closes a file, but these files have no descriptor. */
static void flush_at_the_end(struct thread_data *td)
{
	if (!td->o.fsync_on_close)
		return;
	td->o.end_fsync = 1;
	td->o.fsync_on_close = 0;
}

static int hook_init(struct thread_data *td)
{
	flush_at_the_end(td);
	if (fio_start(td))
		return 1;
	fio_open_wait(td->io_ops_data);
	return fio_explain_begin(td);
}

static void hook_cleanup(struct thread_data *td)
{
	struct job *job = td->io_ops_data;
	const struct options *options = td->eo;

	if (job && options->stats_file)
		fio_stats_write(job);
	if (job)
		wait_leave(&job->wait);
	fio_finish(td);
}

static int hook_io_u_init(struct thread_data *td, struct io_u *io_u)
{
	(void)td;
	io_u->engine_data = NULL;
	return 0;
}

static void hook_io_u_free(struct thread_data *td, struct io_u *io_u)
{
	(void)td;
	free(io_u->engine_data);
	io_u->engine_data = NULL;
}

/* There is no file to close or remove, no cache to drop and no size to ask for. */
static int hook_file(struct thread_data *td, struct fio_file *f)
{
	(void)td;
	(void)f;
	return 0;
}

static struct ioengine_ops operations = {
	.name = "fio_virtio",
	.version = FIO_INTERFACE,
	.flags = FIO_DISKLESSIO | FIO_RAWIO | FIO_NOEXTEND | FIO_NODISKUTIL |
		 FIO_MEMALIGN | FIO_NO_OFFLOAD | FIO_ASYNCIO_SETS_ISSUE_TIME,
	.setup = fio_setup,
	.init = hook_init,
	.queue = hook_queue,
	.commit = hook_commit,
	.getevents = hook_getevents,
	.event = hook_event,
	.errdetails = hook_errdetails,
	.terminate = fio_watch_terminate,
	.cleanup = hook_cleanup,
	.open_file = fio_open_file,
	.close_file = hook_file,
	.unlink_file = hook_file,
	.invalidate = hook_file,
	.get_file_size = hook_file,
	.iomem_alloc = fio_buffers_alloc,
	.iomem_free = fio_buffers_free,
	.io_u_init = hook_io_u_init,
	.io_u_free = hook_io_u_free,
	.option_struct_size = sizeof(struct options),
	.options = fio_options,
};

__attribute__((visibility("default"))) void get_ioengine(struct ioengine_ops **ops);

void get_ioengine(struct ioengine_ops **ops)
{
	fio_signals_prepare();
	fio_name_remedies();
	fio_notes_begin();
	*ops = fio_guard_admits() ? &operations : NULL;
}
