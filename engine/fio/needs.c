/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory that jobs need; see fio/needs.h. Any thread. */
#include "fio/needs.h"

#include <stdlib.h>

#include "fio/logs.h"
#include "fio/options.h"

/* A job, kept until fio ends. A forked process inherits the list. */
struct noted_job {
	struct noted_job *next;
	const struct thread_data *td;
	struct log_measure log; /* depth 0: it was not measured */
	bool is_log_known;
	size_t reserved_bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct noted_job *jobs;

static struct noted_job *find(const struct thread_data *td)
{
	struct noted_job *job = __atomic_load_n(&jobs, __ATOMIC_ACQUIRE);

	while (job && job->td != td)
		job = job->next;
	return job;
}

/* NULL without memory. The caller holds the lock. */
static struct noted_job *find_or_add(const struct thread_data *td)
{
	struct noted_job *job = find(td);

	if (job)
		return job;
	job = calloc(1, sizeof(*job));
	if (!job)
		return NULL;
	job->td = td;
	job->next = jobs;
	__atomic_store_n(&jobs, job, __ATOMIC_RELEASE);
	return job;
}

/* ---- logs ------------------------------------------------------------------- */

static struct log_measure measure_log(const struct thread_data *td)
{
	struct log_measure measure = { .depth = 1 };
	char *path = get_name_by_idx(td->o.read_iolog_file, (int)td->subjob_number);

	if (path)
		measure = log_measure(path, td->o.replay_align);
	free(path);
	return measure;
}

static void note_log(const struct thread_data *td, struct log_measure measure)
{
	struct noted_job *job;

	pthread_mutex_lock(&lock);
	job = find_or_add(td);
	if (job) {
		job->log = measure;
		job->is_log_known = true;
	}
	pthread_mutex_unlock(&lock);
}

void needs_measure_log(struct thread_data *td)
{
	if (!needs_is_log_known(td))
		note_log(td, measure_log(td));
}

void needs_leave_log(const struct thread_data *td)
{
	note_log(td, (struct log_measure){ 0 });
}

bool needs_is_log_known(const struct thread_data *td)
{
	const struct noted_job *job = find(td);

	return job && job->is_log_known;
}

/* ---- sizes ------------------------------------------------------------------ */

uint64_t needs_request_bytes(const struct thread_data *td)
{
	const struct noted_job *job = find(td);
	uint64_t bytes = td_max_bs((struct thread_data *)td);

	return job && job->log.most_bytes > bytes ? job->log.most_bytes : bytes;
}

/* fio takes the depth from a binary log, unless iodepth= is given. */
static size_t depth(const struct thread_data *td)
{
	const struct noted_job *job = find(td);

	if (!job || job->log.depth <= td->o.iodepth || td->o.read_iolog_chunked ||
	    fio_option_is_set(&((struct thread_data *)td)->o, iodepth))
		return td->o.iodepth;
	return job->log.depth;
}

/* fio aligns buffers to pages, and may shift all of them by mem_align. */
size_t needs_buffer_bytes(const struct thread_data *td)
{
	const struct options *options = td->eo;

	if (options->hugepage_mem_mib)
		return (size_t)options->hugepage_mem_mib << 20;
	return needs_request_bytes(td) * depth(td) +
	       4 * (size_t)sysconf(_SC_PAGESIZE) + 2 * td->o.mem_align;
}

/* ---- reserving -------------------------------------------------------------- */

static size_t reserve_locked(const struct thread_data *td)
{
	struct noted_job *job = find_or_add(td);
	size_t bytes = needs_buffer_bytes(td), before = job ? job->reserved_bytes : 0;

	if (bytes <= before)
		return 0;
	if (job)
		job->reserved_bytes = bytes;
	return bytes - before;
}

size_t needs_reserve(const struct thread_data *td)
{
	size_t bytes;

	pthread_mutex_lock(&lock);
	bytes = reserve_locked(td);
	pthread_mutex_unlock(&lock);
	return bytes;
}

/* Jobs that want other pages get memory of their own. */
static bool use_one_memory(const struct thread_data *a, const struct thread_data *b)
{
	const struct options *options = a->eo, *others = b->eo;

	return a->io_ops == b->io_ops && options->hugepages == others->hugepages;
}

static bool is_to_come(const struct thread_data *td, const struct thread_data *other)
{
	return other->o.use_thread && other->runstate < TD_EXITED &&
	       use_one_memory(td, other);
}

static bool is_without_plan(const struct thread_data *td, const struct thread_data *other)
{
	const struct noted_job *job = find(other);

	return is_to_come(td, other) && !(job && job->reserved_bytes);
}

/* A log from a socket cannot be read ahead, but td has read its own. The others get as
 * much memory, because jobs with such logs are usually clones that replay the same one.
 * The caller holds the lock. */
static bool assume_log_of(const struct thread_data *td, const struct thread_data *other)
{
	struct noted_job *job = find(other);

	if (!td->o.read_iolog_file || !other->o.read_iolog_file || !job ||
	    !job->log.depth || job->log.most_bytes || !is_to_come(td, other))
		return false;
	job->log.most_bytes = needs_request_bytes(td);
	return true;
}

static void measure_logs(const struct thread_data *td)
{
	for (unsigned int i = 0; i < thread_number; i++) {
		struct thread_data *other = tnumber_to_td(i);

		if (is_without_plan(td, other) && other->o.read_iolog_file)
			needs_measure_log(other);
	}
}

size_t needs_reserve_all(const struct thread_data *td)
{
	size_t bytes;

	measure_logs(td);
	pthread_mutex_lock(&lock);
	bytes = reserve_locked(td);
	for (unsigned int i = 0; i < thread_number; i++) {
		struct thread_data *other = tnumber_to_td(i);

		if (assume_log_of(td, other) || is_without_plan(td, other))
			bytes += reserve_locked(other);
	}
	pthread_mutex_unlock(&lock);
	return bytes;
}
