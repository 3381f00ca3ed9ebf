/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From fio's options to started devices: checks before the run, plans for the
 * whole process, acquires for each job; see fio_job.h. Not on the I/O path.
 */
#include <stdlib.h>

#include "error.h"
#include "fio_job.h"
#include "registry.h"

#define DEFAULT_SLEEPY_POLL_US 50

static struct job *jobs;

int fio_fail(struct thread_data *td, int code, const char *where)
{
	log_err("fio_virtio: %s\n", error_message());
	if (!td->error)
		td_verror(td, code < 0 ? -code : EIO, where);
	return 1;
}

/* ---- options -------------------------------------------------------------- */

/* What was given must go with what was chosen. */
static int check_wait(const struct job *job, const struct options *options)
{
	bool is_sleepy = options->wait == WAIT_SLEEPY + 1;

	if (options->wait && !is_sleepy && options->sleepy_poll_set)
		return error_set(EINVAL, "sleepy_poll=%u does not go with "
			"wait=%s: leave one of them out",
			options->sleepy_poll_us,
			wait_name(options->wait - 1));
	if (is_sleepy && options->sleepy_poll_set && !options->sleepy_poll_us)
		return error_set(EINVAL, "sleepy_poll=0 means that the eventfd "
			"is waited for: it does not go with wait=sleepy");
	if (options->adaptive_cpu_set && job->wait_kind != WAIT_ADAPTIVE)
		return error_set(EINVAL, "adaptive_cpu=%u goes with "
			"wait=adaptive alone: add that, or leave it out",
			options->adaptive_cpu);
	return 0;
}

/* sleepy_poll=0 asks for the eventfd; a 0 that was baked in asks for nothing. */
static enum wait_kind wait_without_name(const struct job *job,
					const struct options *options)
{
	if (job->sleepy_poll_us)
		return WAIT_SLEEPY;
	return options->sleepy_poll_set ? WAIT_EVENT : WAIT_ADAPTIVE;
}

static int choose_wait(struct job *job, const struct options *options)
{
	unsigned int baked_us = engine_default_sleepy_poll_us();

	if (options->sleepy_poll_set)
		job->sleepy_poll_us = options->sleepy_poll_us;
	else if (options->wait == WAIT_SLEEPY + 1)
		job->sleepy_poll_us = DEFAULT_SLEEPY_POLL_US;
	else if (!options->wait)
		job->sleepy_poll_us = baked_us;
	job->wait_kind = options->wait ? options->wait - 1 :
					 wait_without_name(job, options);
	job->adaptive_cpu = options->adaptive_cpu_set ? options->adaptive_cpu : 100;
	return check_wait(job, options);
}

/* fio aligns buffers to pages, and may shift all of them by mem_align. */
static size_t buffer_bytes(const struct thread_data *td)
{
	return (size_t)td_max_bs((struct thread_data *)td) * td->o.iodepth +
	       4 * (size_t)sysconf(_SC_PAGESIZE) + 2 * td->o.mem_align;
}

static void fill_config(const struct thread_data *td, const struct fio_file *f,
			struct device_config *config)
{
	const struct options *options = td->eo;
	size_t chosen_bytes = (size_t)options->hugepage_mem_mib << 20;

	*config = (struct device_config){
		.socket = f->file_name,
		.type = (int)options->device,
		.indirect = (int)options->indirect,
		.event_idx = (int)options->event_idx,
		.hugepages = (int)options->hugepages,
		.scsi_target = options->scsi_target,
		.scsi_lun = options->scsi_lun,
		.scsi_address_set = options->scsi_address_set,
		.num_queues = options->num_queues,
		.queue_size = options->queue_size,
		.depth = td->o.iodepth,
		.connect_timeout_ms = options->connect_timeout_s * 1000,
		.memory_bytes = chosen_bytes ? chosen_bytes : buffer_bytes(td),
		.max_request_bytes = (size_t)td_max_bs((struct thread_data *)td),
	};
}

/* ---- examining ------------------------------------------------------------ */

/* A back-end without configuration space leaves its size to the job. */
static uint64_t capacity_of(const struct thread_data *td,
			    const struct device_info *info)
{
	uint64_t end;

	if (info->capacity_bytes || td->o.size == -1ULL)
		return info->capacity_bytes;
	if (__builtin_add_overflow(td->o.size, td->o.start_offset, &end) ||
	    end > DISK_MAX_BYTES)
		return DISK_MAX_BYTES;
	return end;
}

/* Connects for as long as it takes to read what the device is. A disk behind a
 * virtio-scsi controller answers only once queues run. */
static int describe(const struct device_config *config, struct device_info *info)
{
	struct device_config small = *config;
	struct device *dev;
	int code;

	small.num_queues = 1;
	small.memory_bytes = 1 << 16;
	code = device_open(&dev, &small);
	if (code)
		return code;
	device_describe(dev, info);
	if (info->type == DEVICE_SCSI) {
		code = device_start(dev);
		device_describe(dev, info);
	}
	device_close(dev);
	return code;
}

static int examine(struct thread_data *td, struct fio_file *f,
		   const struct device_config *config, struct device_info *info)
{
	int code = describe(config, info);

	if (code)
		return code;
	info->capacity_bytes = capacity_of(td, info);
	f->real_file_size = info->capacity_bytes;
	f->filetype = FIO_TYPE_BLOCK;
	fio_file_set_size_known(f);
	return fio_check_device(td, f, info);
}

/* ---- planning ------------------------------------------------------------- */

/* Jobs planned on a socket that cannot serve them all: none of them runs, so
 * that no half result is taken for a whole one. */
static void stop_jobs_on(const char *socket)
{
	for (struct job *job = jobs; job; job = job->next) {
		struct fio_file *f;
		unsigned int i;

		for_each_file(job->td, f, i)
			if (!strcmp(f->file_name, socket))
				job->td->terminate = true;
	}
}

static int plan(const struct fio_file *f, const struct device_config *config,
		const struct device_info *info)
{
	int count = registry_plan(config);

	if (count < 0)
		return count;
	if ((unsigned int)count <= info->max_queues)
		return 0;
	stop_jobs_on(f->file_name);
	return error_set(EBUSY, "%s: %d jobs want a queue each and the "
		"back-end has %u: lower numjobs to %u, or start the back-end "
		"with %d queues", f->file_name, count, info->max_queues,
		info->max_queues, count);
}

static void free_job_arrays(struct job *job)
{
	for (unsigned int i = 0; i < job->num_files; i++)
		free(job->files[i].backlog);
	free(job->files);
	free(job->fds);
	free(job->submitted);
	free(job->completed);
	job->files = NULL;
	job->num_files = 0;
}

/* Eventfds and connections. */
static bool make_job_files(struct job *job, unsigned int count, unsigned int depth)
{
	job->files = calloc(count, sizeof(*job->files));
	job->fds = calloc(2 * count, sizeof(*job->fds));
	if (!job->files || !job->fds)
		return false;
	while (job->num_files < count) {
		struct io_u **backlog = calloc(depth, sizeof(*backlog));

		if (!backlog)
			return false;
		job->files[job->num_files++].backlog = backlog;
	}
	return true;
}

static bool make_job_arrays(struct job *job, struct thread_data *td)
{
	unsigned int depth = td->o.iodepth;

	job->submitted = calloc(depth, sizeof(*job->submitted));
	job->completed = calloc(depth, sizeof(*job->completed));
	return job->submitted && job->completed &&
	       make_job_files(job, td->o.nr_files, depth);
}

static struct job *make_job(struct thread_data *td)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->td = td;
	if (make_job_arrays(job, td))
		return job;
	free_job_arrays(job);
	free(job);
	return NULL;
}

static int setup_file(struct thread_data *td, struct fio_file *f)
{
	struct device_config config;
	struct device_info info;
	int code;

	fill_config(td, f, &config);
	code = examine(td, f, &config, &info);
	/* A forked job plans for itself, once it is a process. */
	if (!code && td->o.use_thread)
		code = plan(f, &config, &info);
	return code;
}

int fio_setup(struct thread_data *td)
{
	const struct options *options = td->eo;
	struct job *job = make_job(td);
	struct fio_file *f;
	unsigned int i;
	int code;

	if (!job) {
		error_set(ENOMEM, "no memory for a job of iodepth=%u", td->o.iodepth);
		return fio_fail(td, -ENOMEM, "setup");
	}
	td->io_ops_data = job;
	if (options->stats_file && !jobs && fio_stats_begin(options->stats_file))
		return fio_fail(td, -EIO, "stats_file");
	job->next = jobs;
	jobs = job;
	if (td->o.stonewall)
		registry_next_phase();
	code = fio_options_check(td);
	if (!code)
		code = choose_wait(job, options);
	for_each_file(td, f, i)
		if (!code)
			code = setup_file(td, f);
	return code ? fio_fail(td, code, "setup") : 0;
}

/* ---- start and finish ------------------------------------------------------ */

static int plan_process(struct thread_data *td)
{
	struct device_config config;
	struct fio_file *f;
	unsigned int i;
	int code = 0;

	registry_forget();
	for_each_file(td, f, i) {
		if (code < 0)
			break;
		fill_config(td, f, &config);
		code = registry_plan(&config);
	}
	return code < 0 ? code : 0;
}

static int start_file(struct job *job, struct fio_file *f)
{
	struct job_file *file = &job->files[f->fileno];
	const struct options *options = job->td->eo;
	struct device_config config;
	struct device_info info;
	int code;

	fill_config(job->td, f, &config);
	code = registry_acquire(&config, &file->device);
	if (code)
		return code;
	file->queue = device_claim_queue(file->device);
	if (!file->queue)
		return -EBUSY;
	virtq_want_all_calls(&file->queue->vq,
			     options->call_suppression == CHOICE_OFF);
	device_describe(file->device, &info);
	if (!info.capacity_bytes)
		device_assume_capacity(file->device, f->real_file_size);
	return 0;
}

static void say_pages(const struct job *job)
{
	static bool is_said; /* by whichever job starts first */
	struct device_info info;

	device_describe(job->files[0].device, &info);
	if (info.hugepages_short &&
	    !__atomic_exchange_n(&is_said, true, __ATOMIC_RELAXED))
		log_info("fio_virtio: ordinary pages: not enough free 2 MiB huge "
			 "pages (pyfio-virtio doctor says how to get them)\n");
}

static int adopt_file(struct thread_data *td, struct fio_file *f)
{
	struct device_config config;
	struct device_info info;
	int code;

	fill_config(td, f, &config);
	code = examine(td, f, &config, &info);
	if (!code && td->o.use_thread && !registry_knows(&config))
		code = plan(f, &config, &info);
	if (code)
		error_name("the iolog names another device than filename= "
			   "(replay_redirect= sends all to one)");
	return code;
}

/* fio reads an iolog only after setup, and then forgets the files it had for
 * those that the log names. */
static int adopt_files(struct thread_data *td, struct job *job)
{
	struct fio_file *f;
	unsigned int i;
	int code = 0;

	if (td->o.nr_files != job->num_files) {
		free_job_arrays(job);
		if (!make_job_arrays(job, td))
			return error_set(ENOMEM, "no memory for a job on %u "
					 "files", td->o.nr_files);
	}
	for_each_file(td, f, i)
		if (!code && !fio_file_size_known(f))
			code = adopt_file(td, f);
	return code;
}

int fio_start(struct thread_data *td)
{
	struct job *job = td->io_ops_data;
	struct fio_file *f;
	unsigned int i;
	int code = adopt_files(td, job);

	if (!code && !td->o.use_thread)
		code = plan_process(td);
	for_each_file(td, f, i)
		if (!code)
			code = start_file(job, f);
	if (code)
		return fio_fail(td, code, "init");
	say_pages(job);
	return 0;
}

static void finish_file(struct job_file *file)
{
	if (file->queue)
		device_release_queue(file->device, file->queue);
	if (file->device)
		registry_release(file->device);
}

void fio_finish(struct thread_data *td)
{
	struct job *job = td->io_ops_data;

	if (!job)
		return;
	for (unsigned int i = 0; i < job->num_files; i++)
		finish_file(&job->files[i]);
	/* The job itself stays in the list of jobs: fio is about to exit, and
	 * other jobs' setup may be reading it. */
	free_job_arrays(job);
	td->io_ops_data = NULL;
}
