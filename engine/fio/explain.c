/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * explain=N: takes times of one request in N, so that users see where the time of a request
 * goes; see fio/job.h. The job's own thread makes all calls. fio/samples.h says which requests
 * are chosen.
 *
 * Only a job with this option pays for it: it gets a hook of its own, which asks of each request
 * whether it is chosen. The other hooks are its own only while a chosen request needs them.
 */
#include <stdlib.h>

#include "base/error.h"
#include "base/ticks.h"
#include "fio/job.h"
#include "fio/samples.h"
#include "fio/used_watcher.h"

/* Of the chosen requests that are under way. More are not chosen. */
#define MOST_OPEN 64
/* A sample that is under way. The array of samples is seldom cached, and a publication waits
 * until earlier stores are done, so nothing is written there before the request is over. */
struct open_sample {
	struct sample times;
	struct io_u *io_u;
	uint16_t chain, used_before; /* its used element is not before that */
	uint64_t kicks_before; /* of its queue */
};

struct clock_pair {
	uint64_t ticks;
	uint64_t ns;
};

struct explain {
	struct ioengine_ops hooks;
	struct ioengine_ops *usual;
	unsigned int (*look)(void *context);
	unsigned int num_open;
	unsigned int num_hidden; /* of the open ones, those that are not published */
	unsigned int num_unseen; /* of the open ones, those that were not found completed */
	uint64_t polls, sleeps;  /* of the wait, at the last look */
	struct clock_pair begun;
	struct used_watcher *watcher; /* NULL without explain_watch= */
	struct open_sample open[MOST_OPEN];
	struct samples samples;
};

/* ---- the times ------------------------------------------------------------------- */

static int commit_timed(struct thread_data *td);
static int getevents_timed(struct thread_data *td, unsigned int min, unsigned int max,
			   const struct timespec *timeout);
static unsigned int look_timed(void *context);

/* The chain of the request that was just submitted: queue_get() took it from there. */
static uint16_t last_chain(const struct queue *queue)
{
	return queue->free_chains[queue->num_free];
}

/* True if that request is carried out in one part. */
static bool is_whole(const struct queue *queue)
{
	return !queue->requests[last_chain(queue)].left_bytes;
}

/* The time from fio's start of a request, in fio's own clock. It is read at the end only, because
 * reading a clock delays the request. */
static uint64_t ns_since_start(const struct thread_data *td, const struct io_u *io_u)
{
	struct timespec now;
	int64_t ns;

	if (td->o.disable_lat)
		return 0;
	fio_gettime(&now, NULL);
	ns = (now.tv_sec - io_u->start_time.tv_sec) * (int64_t)NS_PER_S +
	     now.tv_nsec - io_u->start_time.tv_nsec;
	return ns > 0 ? (uint64_t)ns : 0;
}

/* Our hooks are called only while they have something to note. */
static void choose_hooks(struct job *job)
{
	struct explain *explain = job->explain;
	const struct ioengine_ops *usual = explain->usual;

	explain->hooks.commit = explain->num_hidden ? commit_timed : usual->commit;
	explain->hooks.getevents = explain->num_open ? getevents_timed : usual->getevents;
	job->wait.source.look = explain->num_unseen ? look_timed : explain->look;
}

static void open_sample(struct job *job, const struct job_file *file, struct io_u *io_u,
			struct sample times)
{
	struct explain *explain = job->explain;

	explain->open[explain->num_open++] = (struct open_sample){
		.times = times,
		.io_u = io_u,
		.chain = last_chain(file->queue), .used_before = file->queue->vq.used_next,
		.kicks_before = file->queue->counters.kicks };
	explain->num_hidden++;
	explain->num_unseen++;
	explain->polls = job->wait.counters.polls;
	explain->sleeps = job->wait.counters.sleeps;
	choose_hooks(job);
}

static enum fio_q_status __attribute__((noinline))
queue_chosen(struct thread_data *td, struct io_u *io_u)
{
	struct job *job = td->io_ops_data;
	struct explain *explain = job->explain;
	const struct job_file *file = &job->files[io_u->file->fileno];
	struct sample times = { .position = file->queue->vq.avail_next,
				.file = (unsigned int)io_u->file->fileno };
	enum fio_q_status status;

	if (explain->num_open == MOST_OPEN)
		return explain->usual->queue(td, io_u);
	times.submitted = ticks_now();
	status = explain->usual->queue(td, io_u);
	if (status == FIO_Q_QUEUED &&
	    file->queue->vq.avail_next == times.position + 1 && is_whole(file->queue))
		open_sample(job, file, io_u, times);
	return status;
}

/* For most requests, all of the cost is in here. */
static enum fio_q_status queue_timed(struct thread_data *td, struct io_u *io_u)
{
	const struct job *job = td->io_ops_data;
	const struct explain *explain = job->explain;
	const struct queue *queue = job->files[io_u->file->fileno].queue;

	if (samples_choose(&explain->samples, queue->vq.avail_next))
		return queue_chosen(td, io_u);
	return explain->usual->queue(td, io_u);
}

static void note_published(struct job *job, uint64_t ticks)
{
	struct explain *explain = job->explain;

	explain->num_hidden = 0;
	for (unsigned int i = 0; i < explain->num_open; i++) {
		const struct open_sample *open = &explain->open[i];
		struct sample *times = &explain->open[i].times;
		const struct queue *queue = job->files[times->file].queue;

		if (times->published)
			continue;
		if (queue->vq.avail_next - virtq_num_gathered(&queue->vq) <=
		    times->position) {
			explain->num_hidden++;
			continue;
		}
		times->published = ticks;
		if (queue->counters.kicks == open->kicks_before)
			continue;
		times->published = queue->kick_began;
		times->kick = queue->kick_ended - queue->kick_began;
	}
	choose_hooks(job);
}

/* The usual hook publishes first, so the time before it is the time of the publication. */
static int commit_timed(struct thread_data *td)
{
	struct job *job = td->io_ops_data;
	struct explain *explain = job->explain;
	uint64_t before = ticks_now();
	int code = explain->usual->commit(td);

	note_published(job, before);
	return code;
}

/* When the watcher saw the request in the used ring. The back-end writes what the watcher reads,
 * so a time that does not fit to the request's own times is dropped. If fio's thread saw the
 * request a little before the watcher did, its time counts. */
static void note_used(const struct explain *explain, struct open_sample *open)
{
	struct sample *times = &open->times;
	uint64_t saw;

	if (!explain->watcher || !times->published || times->used)
		return;
	saw = used_watcher_saw(explain->watcher, times->file, open->chain,
			       open->used_before);
	if (saw >= times->published && saw <= times->seen)
		times->used = saw;
	else if (saw > times->seen && saw - times->seen <= (times->seen - times->published) / 4)
		times->used = times->seen;
}

/* False if the sample's request surely has not come back. */
static bool may_be_back(const struct job *job, const struct open_sample *open)
{
	const struct virtq *vq = &job->files[open->times.file].queue->vq;

	return vq->order[open->chain] != open->times.position + 1;
}

/* Of the requests that came back, those from first on are new. */
static void note_seen(struct job *job, unsigned int first, enum woken_by woken_by,
		      uint64_t ticks)
{
	struct explain *explain = job->explain;

	for (unsigned int i = 0; i < explain->num_open; i++) {
		struct open_sample *open = &explain->open[i];

		if (open->times.seen || !may_be_back(job, open))
			continue;
		for (unsigned int at = first; !open->times.seen && at < job->num_completed; at++) {
			if (job->completed[at] != open->io_u)
				continue;
			open->times.seen = ticks;
			open->times.woken_by = woken_by;
			note_used(explain, open);
			explain->num_unseen--;
		}
	}
	choose_hooks(job);
}

static enum woken_by how_woken(struct job *job)
{
	const struct wait_counters *counters = &job->wait.counters;
	struct explain *explain = job->explain;
	enum woken_by how = counters->polls != explain->polls ? WOKEN_BY_CALL :
			    counters->sleeps != explain->sleeps ? WOKEN_BY_SLEEP :
								  WOKEN_BY_LOOK;

	explain->polls = counters->polls;
	explain->sleeps = counters->sleeps;
	return how;
}

/* A look during a wait. What gathered was published when the wait began. */
static unsigned int look_timed(void *context)
{
	struct job *job = context;
	struct explain *explain = job->explain;
	enum woken_by how = how_woken(job);
	unsigned int first = job->num_completed, ready;

	if (explain->num_hidden)
		note_published(job, ticks_now());
	ready = explain->look(context);
	if (explain->num_unseen && job->num_completed != first)
		note_seen(job, first, how, ticks_now());
	return ready;
}

/* Keeps the samples that are over. This is done at the next call, so that it does not delay
 * them, and because a watcher may see them only after us. */
static void settle(struct explain *explain)
{
	unsigned int still_open = 0;

	for (unsigned int i = 0; i < explain->num_open; i++) {
		struct open_sample *open = &explain->open[i];

		if (!open->times.taken) {
			explain->open[still_open++] = *open;
			continue;
		}
		note_used(explain, open);
		samples_keep(&explain->samples, &open->times);
	}
	explain->num_open = still_open;
}

static void note_taken(const struct thread_data *td, const struct job *job)
{
	struct explain *explain = job->explain;

	for (unsigned int i = 0; i < explain->num_open; i++) {
		struct open_sample *open = &explain->open[i];

		if (!open->times.seen || open->times.taken)
			continue;
		for (unsigned int at = job->num_seen; at < job->num_taken; at++) {
			if (job->completed[at] != open->io_u)
				continue;
			open->times.taken = ticks_now();
			open->times.fio_ns = ns_since_start(td, open->io_u);
		}
	}
}

/* The usual hook looks once before it waits. What that look finds was there before the hook was
 * called, so it is noted as seen then. */
static int getevents_timed(struct thread_data *td, unsigned int min, unsigned int max,
			   const struct timespec *timeout)
{
	struct job *job = td->io_ops_data;
	struct explain *explain = job->explain;
	uint64_t before, reaped = job->reaped;
	bool looks;
	int count;

	if (explain->num_open != explain->num_unseen) {
		settle(explain);
		choose_hooks(job);
	}
	looks = explain->num_unseen && job_num_ready(job) < max;
	before = looks ? ticks_now() : 0;
	count = explain->usual->getevents(td, min, max, timeout);
	if (looks && job->reaped != reaped)
		note_seen(job, job->num_completed - (unsigned int)(job->reaped - reaped),
			  WOKEN_BY_LOOK, before);
	if (explain->num_open != explain->num_unseen)
		note_taken(td, job);
	return count;
}

/* ---- begin and end ----------------------------------------------------------------- */

static struct clock_pair read_clocks(void)
{
	struct clock_pair best = { 0 };
	uint64_t shortest = UINT64_MAX;

	for (unsigned int i = 0; i < 8; i++) {
		uint64_t before = ticks_now(), ns = clock_now_ns(), after = ticks_now();

		if (after - before >= shortest)
			continue;
		shortest = after - before;
		best = (struct clock_pair){ before + shortest / 2, ns };
	}
	return best;
}

static void set_hooks(struct thread_data *td, struct explain *explain)
{
	explain->usual = td->io_ops;
	explain->hooks = *td->io_ops;
	explain->hooks.queue = queue_timed;
	td->io_ops = &explain->hooks;
}

static int start_watcher(struct explain *explain, const struct job *job, const char *cpu)
{
	const struct virtq **files = calloc(job->num_files, sizeof(*files));
	int code;

	if (!files)
		return error_set(ENOMEM, "no memory for a list of %u queues", job->num_files);
	for (unsigned int i = 0; i < job->num_files; i++)
		files[i] = &job->files[i].queue->vq;
	code = used_watcher_start(&explain->watcher, files, job->num_files,
				  (unsigned int)atoi(cpu));
	free(files);
	return code;
}

int fio_explain_begin(struct thread_data *td)
{
	const struct options *options = td->eo;
	struct job *job = td->io_ops_data;
	struct explain *explain;
	int code = 0;

	if (!options->explain)
		return 0;
	explain = calloc(1, sizeof(*explain));
	if (!explain)
		code = error_set(ENOMEM, "no memory for the times of %u requests", MOST_SAMPLES);
	else if (options->explain_watch)
		code = start_watcher(explain, job, options->explain_watch);
	if (code) {
		free(explain);
		return fio_fail(td, code, "init");
	}
	samples_begin(&explain->samples, options->explain);
	explain->look = job->wait.source.look;
	for (unsigned int i = 0; i < job->num_files; i++)
		job->files[i].queue->times_kicks = true;
	explain->begun = read_clocks();
	job->explain = explain;
	set_hooks(td, explain);
	return 0;
}

void fio_explain_end(struct thread_data *td, struct job *job)
{
	if (!job->explain)
		return;
	used_watcher_stop(job->explain->watcher);
	td->io_ops = job->explain->usual;
	job->wait.source.look = job->explain->look;
	free(job->explain);
	job->explain = NULL;
}

/* ---- writing ---------------------------------------------------------------------- */

static void print_pair(FILE *out, const char *name, struct clock_pair pair)
{
	fprintf(out, "\"%s\":[%llu,%llu],", name, (unsigned long long)pair.ticks,
		(unsigned long long)pair.ns);
}

/* A request that was sent again after a restart of the back-end has another position there, so
 * no sample of such a job is told. */
static bool is_whole_job(const struct job *job)
{
	for (unsigned int i = 0; i < job->num_files; i++)
		if (job->files[i].queue->counters.reconnects)
			return false;
	return true;
}

void fio_explain_print(FILE *out, const struct job *job)
{
	struct explain *explain = job->explain;

	if (!explain)
		return;
	settle(explain);
	fputs(",\"explain\":{", out);
	print_pair(out, "begun", explain->begun);
	print_pair(out, "ended", read_clocks());
	fputs("\"samples\":[", out);
	if (is_whole_job(job))
		samples_print(out, &explain->samples, explain->watcher != NULL);
	fprintf(out, "]}");
}
