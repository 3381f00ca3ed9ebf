/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests in flight: sends them to the queues of their files, takes them back, and
 * waits for them; see fio/job.h. The I/O path. Called by the job's thread.
 *
 * A job may have many files. So whatever is done for each request, look or wait concerns
 * only the files in job->busy, which have requests in flight.
 */
#include <stdlib.h>

#include "base/error.h"
#include "fio/job.h"

/* ---- submission ------------------------------------------------------------ */

static bool fill_request(const struct job_file *file, struct io_u *io_u,
			 struct request *req)
{
	req->user = io_u;
	req->buffer = io_u->xfer_buf;
	req->offset_bytes = io_u->offset;
	req->left_bytes = io_u->xfer_buflen;
	switch (io_u->ddir) {
	case DDIR_READ:
		req->type = REQUEST_READ;
		return true;
	case DDIR_WRITE:
		req->type = REQUEST_WRITE;
		return true;
	case DDIR_TRIM:
		req->type = (uint8_t)file->trim_type;
		return true;
	default:
		req->type = REQUEST_FLUSH;
		req->offset_bytes = req->left_bytes = 0;
		return ddir_sync(io_u->ddir);
	}
}

inline int fio_submit(const struct job_file *file, struct io_u *io_u)
{
	struct queue *queue = file->queue;
	struct request *req = queue_get(queue);
	int code = -EINVAL;

	if (fill_request(file, io_u, req))
		code = queue_submit(queue, req);
	else
		error_set(EINVAL, "fio asks for an operation (%d) that the "
			"engine does not know", io_u->ddir);
	if (code)
		queue_put(queue, req);
	return -code;
}

/* ---- completion ------------------------------------------------------------- */

static void end(struct io_u *io_u, int code, const char *sentence)
{
	io_u->error = (unsigned int)code;
	if (code)
		io_u->engine_data = strdup(sentence);
}

/* Submits requests of the backlog in the chains that have become free. */
static void submit_backlog(struct job *job, struct job_file *file)
{
	struct queue *queue = file->queue;

	while (file->backlog_count && (queue->num_free || queue->abandoned)) {
		struct io_u *io_u = file->backlog[file->backlog_first];
		int code = queue->abandoned;

		file->backlog_first = (file->backlog_first + 1) % job->depth;
		file->backlog_count--;
		if (!code)
			code = fio_submit(file, io_u);
		if (code) {
			end(io_u, code, error_message());
			job->completed[job->num_completed++] = io_u;
		}
	}
	queue_commit(queue);
}

/* Gives fio the requests in their order. The last one is put back first: fio takes the
 * completions in order, so its next request with the same buffer gets the same chain, whose
 * descriptors hold the buffer's address already. */
static void complete(struct job *job, struct job_file *file, struct request **done,
		     unsigned int count)
{
	struct io_u **completed = job->completed + job->num_completed;

	job->num_completed += count;
	job->reaped += count;
	/* Less is in flight, so requests that gather may now be due; see hook_commit(). */
	job->must_publish = true;
	while (count--) {
		struct request *req = done[count];
		int code = req->error;

		completed[count] = req->user;
		end(req->user, code, code ? fio_explain(file, req) : NULL);
		queue_put(file->queue, req);
	}
}

static void look_at(struct job *job, struct job_file *file)
{
	struct request *done[QUEUE_REAP_AT_ONCE];
	unsigned int count = queue_reap(file->queue, done, QUEUE_REAP_AT_ONCE);

	if (file->flushes_writes)
		count = fio_flush_writes(job, file, done, count);
	if (file->queue->abandoned)
		fio_report_failure(file, file->queue->reason);
	if (count)
		complete(job, file, done, count);
	if (file->backlog_count)
		submit_backlog(job, file);
}

/* A file that was not busy during the last look is dropped, and not one that has just
 * become idle: with iodepth=1 it would come back at once. */
inline unsigned int fio_look(struct job *job)
{
	unsigned int i = 0;

	while (i < job->num_busy) {
		struct job_file *file = job->busy[i];

		if (queue_in_flight(file->queue)) {
			if (queue_may_have_done(file->queue))
				look_at(job, file);
			i++;
		} else {
			file->is_busy = false;
			job->busy[i] = job->busy[--job->num_busy];
		}
	}
	return job_num_ready(job);
}

/* ---- waiting ------------------------------------------------------------------ */

static unsigned int look(void *context)
{
	return fio_look(context);
}

/* Also chooses what to poll(2). The connections of idle files are watched by fio_watch()
 * alone. */
static bool ask_calls(void *context)
{
	struct job *job = context;
	struct pollfd *calls = job->fds, *connections = calls + job->num_busy;
	bool has_some = false;

	for (unsigned int i = 0; i < job->num_busy; i++) {
		const struct job_file *file = job->busy[i];

		calls[i] = (struct pollfd){ .fd = file->queue->call_fd, .events = POLLIN };
		connections[i] = (struct pollfd){ .fd = file->watched_fd,
						  .events = POLLRDHUP };
		has_some |= virtq_ask_calls(&file->queue->vq);
	}
	job->wait.source.num_eventfds = job->num_busy;
	job->wait.source.num_fds = 2 * job->num_busy;
	return has_some;
}

static unsigned int in_flight(void *context)
{
	return job_num_in_flight(context);
}

static void refuse_calls(void *context)
{
	struct job *job = context;

	for (unsigned int i = 0; i < job->num_busy; i++)
		virtq_refuse_calls(&job->busy[i]->queue->vq);
}

/* The eventfds come first, then the connections; see wait/wait.h. */
void fio_open_wait(struct job *job)
{
	struct wait_source source = {
		.context = job,
		.look = look,
		.ask_calls = ask_calls,
		.refuse_calls = refuse_calls,
		.fds = job->fds,
		.completed = &job->reaped,
		.in_flight = in_flight,
	};

	for (unsigned int i = 0; i < job->num_files; i++)
		job->files[i].watched_fd = job->files[i].device->vu.fd;
	wait_open(&job->wait, job->choice.kind, job->choice.sleepy_poll_us, &source);
	wait_limit_cpu(&job->wait, job->choice.adaptive_cpu);
}
