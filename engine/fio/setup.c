/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plans devices from fio's options. Before the run, it checks all jobs of the process
 * and reads the sizes of their devices; see fio/job.h. It keeps nothing of a job
 * except its plan. Not on the I/O path.
 */
#include <stdlib.h>

#include "base/error.h"
#include "fio/job.h"
#include "fio/kept.h"
#include "fio/needs.h"
#include "fio/shared_devices.h"

/* A queue of automatic size holds at most so many requests, and fio does not raise
 * iodepth further by itself. */
#define GREATEST_AUTO_DEPTH 1024

int fio_fail(struct thread_data *td, int code, const char *where)
{
	log_err("fio_virtio: %s\n", error_message());
	if (!td->error)
		td_verror(td, code < 0 ? -code : EIO, where);
	return 1;
}

/* ---- options -------------------------------------------------------------- */

/* Refuses options that do not fit the chosen way of waiting. */
static int check_wait(const struct wait_choice *choice, const struct options *options)
{
	bool is_sleepy = options->wait == WAIT_SLEEPY;

	if (options->wait && !is_sleepy && options->sleepy_poll_set)
		return error_set(EINVAL, "sleepy_poll=%u does not go with "
			"wait=%s: leave one of them out",
			options->sleepy_poll_us,
			wait_name((int)options->wait));
	if (is_sleepy && options->sleepy_poll_set && !options->sleepy_poll_us)
		return error_set(EINVAL, "sleepy_poll=0 means that the eventfd "
			"is waited for: it does not go with wait=sleepy");
	if (options->adaptive_cpu_set && choice->kind != WAIT_ADAPTIVE)
		return error_set(EINVAL, "adaptive_cpu=%u goes with "
			"wait=adaptive alone: add that, or leave it out",
			options->adaptive_cpu);
	return 0;
}

/* sleepy_poll=0 asks for the eventfd. */
static int choose_wait(struct wait_choice *choice, const struct options *options)
{
	*choice = (struct wait_choice){ .kind = options->wait };
	if (options->sleepy_poll_set)
		choice->sleepy_poll_us = options->sleepy_poll_us;
	if (!choice->kind && options->sleepy_poll_set && !options->sleepy_poll_us)
		choice->kind = WAIT_EVENT;
	wait_choose(&choice->kind, &choice->sleepy_poll_us);
	choice->adaptive_cpu = options->adaptive_cpu_set ? options->adaptive_cpu : 100;
	return check_wait(choice, options);
}

int fio_choose(struct thread_data *td, struct wait_choice *choice)
{
	int code = fio_options_check(td);

	return code ? code : choose_wait(choice, td->eo);
}

void fio_fill_config(const struct thread_data *td, const struct fio_file *f,
		     struct device_config *config)
{
	const struct options *options = td->eo;

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
		.reconnect_timeout_ms = options->reconnect_timeout_s * 1000,
		.memory_bytes = needs_buffer_bytes(td),
		.max_request_bytes = needs_request_bytes(td),
	};
}

unsigned int fio_greatest_depth(const struct device_config *config)
{
	return config->queue_size ? config->queue_size : GREATEST_AUTO_DEPTH;
}

void fio_deepen(struct device_config *config)
{
	unsigned int greatest = fio_greatest_depth(config);

	if (greatest > config->depth)
		config->depth = greatest;
}

/* ---- examining ------------------------------------------------------------ */

/* The job gives the capacity if the back-end has no configuration space. The requests
 * of a replay can be anywhere, and fio sets size= to the sum of their bytes, so for a
 * replay the back-end must refuse requests beyond the end of its disk. */
static uint64_t given_capacity(const struct thread_data *td)
{
	uint64_t end, moved;

	if (td->o.read_iolog_file)
		return DISK_MAX_BYTES;
	if (td->o.size == -1ULL)
		return 0;
	/* A clone begins later than its job, by offset_increment. */
	if (__builtin_mul_overflow(td->o.offset_increment, td->subjob_number, &moved) ||
	    __builtin_add_overflow(td->o.size, td->o.start_offset, &end) ||
	    __builtin_add_overflow(end, moved, &end) || end > DISK_MAX_BYTES)
		return DISK_MAX_BYTES;
	return end;
}

int fio_size_file(struct thread_data *td, struct fio_file *f,
		  const struct device_info *info)
{
	struct device_info sized = *info;

	if (!sized.capacity_bytes && !sized.has_config)
		sized.capacity_bytes = given_capacity(td);
	f->real_file_size = sized.capacity_bytes;
	f->filetype = FIO_TYPE_BLOCK;
	fio_file_set_size_known(f);
	return fio_check_device(td, f, &sized);
}

/* True if the job can use a connection that setup makes: it is a thread, or the only
 * process that fio will fork. */
static bool can_inherit(const struct thread_data *td)
{
	return td->o.use_thread || thread_number == 1;
}

/* How all jobs could use the same connection; NULL if they do so already. */
static const char *how_to_share(const struct thread_data *td)
{
	if (td->o.use_thread && !td->o.create_serialize)
		return "leave create_serialize=0 out";
	for (unsigned int i = 0; i < thread_number; i++)
		if (!tnumber_to_td(i)->o.use_thread)
			return "give all jobs thread=1";
	return NULL;
}

/* Appends what to do if the back-end has accepted a connection before and does not
 * accept this one. */
int fio_explain_unreachable(const struct thread_data *td, const struct fio_file *f,
			    int code)
{
	const char *remedy = how_to_share(td);
	struct error_kept kept = error_keep();

	if (!remedy || thread_number < 2 || !kept_has_reached(f->file_name) ||
	    (code != -ECONNREFUSED && code != -ENOENT && code != -ECONNRESET &&
	     code != -ETIMEDOUT && code != -EPIPE))
		return code;
	return error_set(-code, "%s; it accepted a connection before, so if it serves "
		"only one client, %s, so that the jobs share one connection",
		kept.sentence, remedy);
}

/* A log may be long, so it is read only if its requests must be known. */
static void know_log(struct thread_data *td, const struct device_info *info)
{
	if (device_takes_memory_once(info))
		needs_measure_log(td);
	else if (!needs_is_log_known(td))
		needs_leave_log(td);
}

static int examine(struct thread_data *td, struct fio_file *f, unsigned int *max_queues)
{
	struct device_config config;
	struct device_info info;
	int code;

	fio_fill_config(td, f, &config);
	code = kept_describe(&config, can_inherit(td), &info);
	if (code)
		return fio_explain_unreachable(td, f, code);
	*max_queues = info.max_queues;
	if (td->o.read_iolog_file)
		know_log(td, &info);
	return fio_size_file(td, f, &info);
}

/* ---- planning ------------------------------------------------------------- */

/* The threads that use a socket, an entry for each job and file, kept until the
 * process ends. */
struct noted_thread {
	struct noted_thread *next;
	struct thread_data *td;
	char socket[];
};

static pthread_mutex_t noted_lock = PTHREAD_MUTEX_INITIALIZER;
static struct noted_thread *noted;

int fio_note_thread(struct thread_data *td, const char *socket)
{
	size_t size = strlen(socket) + 1;
	struct noted_thread *thread = malloc(sizeof(*thread) + size);

	if (!thread)
		return error_set(ENOMEM, "%s: no memory to plan a job", socket);
	thread->td = td;
	memcpy(thread->socket, socket, size);
	pthread_mutex_lock(&noted_lock);
	thread->next = noted;
	noted = thread;
	pthread_mutex_unlock(&noted_lock);
	return 0;
}

void fio_stop_threads_on(const char *socket)
{
	pthread_mutex_lock(&noted_lock);
	for (struct noted_thread *thread = noted; thread; thread = thread->next)
		if (!strcmp(thread->socket, socket))
			fio_mark_td_terminate(thread->td);
	pthread_mutex_unlock(&noted_lock);
}

/* A binary log may raise iodepth, and fio reads it only after setup. */
static bool depth_may_rise(struct thread_data *td)
{
	return td->o.read_iolog_file && !fio_option_is_set(&td->o, iodepth);
}

static int plan(struct thread_data *td, const struct fio_file *f,
		unsigned int max_queues)
{
	struct device_config config;
	int count;

	fio_fill_config(td, f, &config);
	if (depth_may_rise(td))
		fio_deepen(&config);
	config.memory_bytes = needs_reserve(td);
	count = registry_plan(&config, td->thread_number - 1, 1);
	if (count < 0)
		return count;
	if (fio_note_thread(td, f->file_name))
		return -ENOMEM;
	if ((unsigned int)count <= max_queues)
		return 0;
	fio_stop_threads_on(f->file_name);
	return error_set(EBUSY, "%s: %d jobs want a queue each and the "
		"back-end has %u: let fewer jobs run at the same time "
		"(numjobs, stonewall), or start the back-end with %d queues "
		"(pyfio-virtio backend start --queues %d)",
		f->file_name, count, max_queues, count, count);
}

/* All files are examined before the first one is planned, so that a job which cannot
 * run does not take a queue from others. */
static int examine_and_plan(struct thread_data *td, unsigned int *max_queues)
{
	struct fio_file *f;
	unsigned int i;
	int code = 0;

	/* The devices are named only in the log. */
	if (!td->o.nr_files && td->o.read_iolog_file)
		needs_measure_log(td);
	for_each_file(td, f, i)
		if (!code)
			code = examine(td, f, &max_queues[i]);
	/* A job that is a process plans its devices after the fork. */
	if (code || !td->o.use_thread)
		return code;
	for_each_file(td, f, i)
		if (!code)
			code = plan(td, f, max_queues[i]);
	return code;
}

static int setup(struct thread_data *td)
{
	unsigned int *max_queues = calloc(td->o.nr_files + 1, sizeof(*max_queues));
	struct wait_choice ignored;
	int code;

	if (!max_queues)
		return error_set(ENOMEM, "no memory for a job on %u files",
				 td->o.nr_files);
	code = fio_choose(td, &ignored);
	if (!code)
		code = examine_and_plan(td, max_queues);
	free(max_queues);
	return code;
}

int fio_setup(struct thread_data *td)
{
	const struct options *options = td->eo;
	int code = 0;

	if (td->io_ops_data)
		return 0;
	if (options->stats_file)
		code = fio_stats_begin(options->stats_file);
	if (!code)
		code = setup(td);
	return code ? fio_fail(td, code, "setup") : 0;
}
