/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flushes that synchronous writes need (sync=1, sync=dsync); see fio/job.h.
 *
 * fio gets a synchronous write back only when its data are stable. The request of a
 * write that came back becomes a flush in the same chain, and it is done when that has
 * come back, too. The job's thread calls this on the I/O path, but only with sync=.
 */
#include "fio/job.h"

/* A device without FLUSH writes through (virtio 1.2, 5.2.6.2). The mode of its cache does not
 * count, because some back-ends offer CONFIG_WCE and leave wce 0. */
bool fio_flushes_writes(const struct thread_data *td, const struct device_info *info)
{
	return td->o.sync_io && info->can_flush;
}

static bool begin_flush(struct queue *queue, struct request *req)
{
	int code;

	req->type = REQUEST_FLUSH;
	req->offset_bytes = req->left_bytes = 0;
	code = queue_submit(queue, req);
	req->error = -code;
	return !code;
}

unsigned int fio_flush_writes(struct job *job, struct job_file *file,
			      struct request **done, unsigned int count)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct request *req = done[i];

		if (req->type != REQUEST_WRITE || req->error ||
		    !begin_flush(file->queue, req))
			done[left++] = req;
	}
	if (left == count)
		return left;
	/* The back-end has completed something, although fio gets nothing yet. */
	job->last_progress_ns = 0;
	queue_commit(file->queue);
	return left;
}
