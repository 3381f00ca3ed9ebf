/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Begins and ends a job: reads fio's present options, acquires devices and queues, and
 * gives them back; see fio/job.h. The job's own thread or process calls it. Not on the
 * I/O path.
 *
 * It takes only the plan and the sizes of files from setup. After setup, fio may have
 * forked, or read a log, which has its own files, sizes and iodepth. Or fio calls setup
 * only later (create_serialize=0).
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "fio/job.h"
#include "fio/kept.h"
#include "fio/needs.h"
#include "fio/notes.h"
#include "fio/replay.h"
#include "fio/shared_devices.h"

/* ---- the job's present options ---------------------------------------------- */

static unsigned int count_files(const struct thread_data *td)
{
	struct fio_file *f;
	unsigned int i, count = 0;

	for_each_file(td, f, i)
		count++;
	return count;
}

static int check_job(struct thread_data *td, unsigned int num_files)
{
	int code = td->o.read_iolog_file ? replay_check_log(td, num_files) : 0;

	if (code)
		return code;
	if (!num_files)
		return error_set(ENODEV, "the job has no file: name the socket "
			"of a back-end with filename=");
	if (!td->o.iodepth)
		return error_set(EINVAL, "the log holds only flushes, which "
			"tell fio no iodepth: add iodepth=1");
	return 0;
}

/* True if an option makes fio pause between two requests. */
static bool has_pauses(const struct thread_data *td)
{
	const struct thread_options *o = &td->o;

	for (enum fio_ddir ddir = DDIR_READ; ddir <= DDIR_TRIM; ddir++)
		if (o->rate[ddir] || o->rate_iops[ddir])
			return true;
	return o->thinktime || o->flow || o->read_iolog_file;
}

/* ---- memory of the job ------------------------------------------------------ */

static void free_job(struct job *job)
{
	for (unsigned int i = 0; i < job->num_files; i++) {
		free(job->files[i].backlog);
		free(job->files[i].absences);
	}
	free(job->files);
	free(job->busy);
	free(job->fds);
	free(job->submitted);
	free(job->completed);
	free(job);
}

static bool make_files(struct job *job, unsigned int count)
{
	job->files = calloc(count, sizeof(*job->files));
	job->busy = calloc(count, sizeof(*job->busy));
	/* Eventfds and connections. */
	job->fds = calloc(2 * (size_t)count, sizeof(*job->fds));
	if (!job->files || !job->busy || !job->fds)
		return false;
	while (job->num_files < count) {
		struct io_u **backlog = calloc(job->depth, sizeof(*backlog));

		if (!backlog)
			return false;
		job->files[job->num_files++].backlog = backlog;
	}
	return true;
}

static struct job *make_job(struct thread_data *td, unsigned int num_files)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->td = td;
	job->depth = td->o.iodepth;
	job->may_gather = !has_pauses(td);
	job->submitted = calloc(job->depth, sizeof(*job->submitted));
	job->completed = calloc(job->depth, sizeof(*job->completed));
	if (job->submitted && job->completed && make_files(job, num_files))
		return job;
	free_job(job);
	return NULL;
}

/* ---- devices and queues ----------------------------------------------------- */

/* Plans a file that setup did not see. As many threads as fio has jobs may use such a
 * file, so the device and the memory are planned for all of them. Another thread waits
 * until what was reserved for it is planned, because it may open the device first. */
static int plan_thread(struct thread_data *td, struct device_config *config)
{
	static pthread_mutex_t planning = PTHREAD_MUTEX_INITIALIZER;
	int code;

	if (thread_number > 1)
		fio_deepen(config);
	pthread_mutex_lock(&planning);
	config->memory_bytes = needs_reserve_all(td);
	code = registry_plan(config, td->thread_number - 1, thread_number);
	pthread_mutex_unlock(&planning);
	return code < 0 ? code : fio_note_thread(td, config->socket);
}

static int plan_file(struct thread_data *td, struct fio_file *f)
{
	struct device_config config;
	int code = 0;

	fio_fill_config(td, f, &config);
	if (!td->o.use_thread)
		code = registry_plan(&config, td->thread_number - 1, 1);
	else if (!fio_file_size_known(f))
		code = plan_thread(td, &config);
	return code < 0 ? code : 0;
}

static int plan_files(struct thread_data *td)
{
	struct fio_file *f;
	unsigned int i;
	int code = 0;

	if (!td->o.use_thread) {
		registry_begin_process();
		kept_begin_process(thread_number == 1);
	}
	for_each_file(td, f, i)
		if (!code)
			code = plan_file(td, f);
	return code;
}

static int check_depth(const struct job_file *file, const struct device_config *config)
{
	unsigned int made_for = file->device->config.depth;

	if (made_for >= config->depth || made_for >= fio_greatest_depth(config))
		return 0;
	return error_set(EBUSY, "%s: another job began first, and its queues are "
		"made for iodepth=%u, not %u: leave create_serialize=0 out",
		config->socket, made_for, config->depth);
}

static int claim_queue(struct job *job, struct job_file *file,
		       const struct device_config *config)
{
	file->queue = device_claim_queue(file->device);
	if (file->queue) {
		/* They are those of another job, or of the search for disks. */
		file->queue->counters = (struct queue_counters){ 0 };
		return check_depth(file, config);
	}
	if (job->td->o.use_thread)
		fio_stop_threads_on(config->socket);
	return -EBUSY;
}

/* Sizes a file that setup did not see, because a log names it or because there was no
 * setup yet. */
static int size_file(struct thread_data *td, struct fio_file *f,
		     const struct device *device)
{
	struct device_info info;

	if (fio_file_size_known(f))
		return 0;
	device_describe(device, &info);
	return fio_size_file(td, f, &info);
}

static bool is_no_device(int code)
{
	return code == -ENOENT || code == -ENOTSOCK || code == -ECONNREFUSED;
}

static int acquire(struct job *job, struct fio_file *f, struct job_file *file)
{
	const struct options *options = job->td->eo;
	struct device_config config;
	struct device_info info;
	int code;

	fio_fill_config(job->td, f, &config);
	code = registry_acquire(&config, job->td->thread_number - 1, &file->device);
	if (code)
		code = fio_explain_unreachable(job->td, f, code);
	if (is_no_device(code) && job->td->o.read_iolog_file && !fio_file_size_known(f))
		error_name("the iolog names another device than filename= "
			   "(replay_redirect= sends all to one)");
	if (!code)
		code = size_file(job->td, f, file->device);
	if (!code)
		code = claim_queue(job, file, &config);
	if (code)
		return code;
	device_assume_capacity(file->device, f->real_file_size);
	device_describe(file->device, &info);
	file->trim_type = fio_choose_trim(job->td, f, &info);
	file->flushes_writes = fio_flushes_writes(job->td, &info);
	file->queue->retry_limit_ns = options->request_timeout_s * NS_PER_S;
	virtq_want_all_calls(&file->queue->vq,
			     options->call_suppression == CHOICE_OFF);
	return 0;
}

static int acquire_all(struct job *job)
{
	struct thread_data *td = job->td;
	struct fio_file *f;
	unsigned int i;
	int code = 0;

	for_each_file(td, f, i)
		if (!code)
			code = acquire(job, f, &job->files[i]);
	return code ? code : replay_check_ends(job);
}

static void release(struct job *job)
{
	for (unsigned int i = 0; i < job->num_files; i++) {
		struct job_file *file = &job->files[i];

		if (file->queue)
			device_release_queue(file->device, file->queue);
		if (file->device)
			registry_release(file->device);
	}
}

/* ---- begin and end ------------------------------------------------------------ */

static void say_pages(const struct job *job)
{
	struct device_info info;

	device_describe(job->files[0].device, &info);
	if (info.hugepages_short && fio_is_first_to_say(NOTE_PAGES))
		log_info("fio_virtio: ordinary pages: not enough free 2 MiB huge "
			 "pages (pyfio-virtio doctor says how to get them)\n");
}

static int begin(struct thread_data *td, struct job **result)
{
	unsigned int num_files = count_files(td);
	struct wait_choice choice;
	struct job *job;
	int code = fio_choose(td, &choice);

	if (!code)
		code = check_job(td, num_files);
	if (code)
		return code;
	job = make_job(td, num_files);
	if (!job)
		return error_set(ENOMEM, "no memory for a job of iodepth=%u on "
				 "%u files", td->o.iodepth, num_files);
	job->choice = choice;
	code = plan_files(td);
	if (!code)
		code = acquire_all(job);
	if (code) {
		release(job);
		free_job(job);
	}
	*result = job;
	return code;
}

int fio_start(struct thread_data *td)
{
	const struct options *options = td->eo;
	struct job *job = NULL;
	int code = 0;

	if (td->io_ops_data)
		return 0;
	/* Otherwise setup has done it. */
	if (options->stats_file && !td->o.create_serialize)
		code = fio_stats_begin(options->stats_file);
	if (!code)
		code = begin(td, &job);
	if (code)
		return fio_fail(td, code, "init");
	job->begun_ns = clock_now_ns();
	job->cpu_begun_ns = clock_cpu_ns();
	for (unsigned int i = 0; i < job->num_files; i++)
		fio_backend_cpu_begin(&job->files[i]);
	td->io_ops_data = job;
	say_pages(job);
	return 0;
}

int fio_open_file(struct thread_data *td, struct fio_file *f)
{
	const struct job *job = td->io_ops_data;

	if (job && f->fileno >= 0 && (unsigned int)f->fileno < job->num_files)
		return 0;
	error_set(ENODEV, "%s: this file was not known when the job began: if a "
		  "log names it, leave read_iolog_chunked= out", f->file_name);
	return fio_fail(td, -ENODEV, "open");
}

void fio_finish(struct thread_data *td)
{
	struct job *job = td->io_ops_data;
	struct fio_file *f;
	unsigned int i;

	if (job) {
		fio_explain_end(td, job); /* before the memory of the queues goes */
		release(job);
	}
	registry_end_job(td->thread_number - 1);
	for_each_file(td, f, i)
		if (!registry_awaits(f->file_name))
			kept_drop(f->file_name);
	if (!job)
		return;
	free_job(job);
	td->io_ops_data = NULL;
}
