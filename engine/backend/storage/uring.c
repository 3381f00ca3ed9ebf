/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An io_uring by liburing. The worker that owns it enters it; it is opened before the
 * worker starts.
 */
#include "storage/uring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#ifdef HAVE_LIBURING

#include <liburing.h>

enum {
	/* Transfers that are added before they are submitted. */
	SUBMISSIONS = 256,
	/* Transfers that are done and not taken yet. */
	COMPLETIONS = 2048,
};

struct uring {
	struct io_uring ring;
	int fd; /* of the file, or its index if it is registered */
	unsigned int flags; /* of each submission */
	unsigned int added; /* since the last submission */
	unsigned int in_flight;
};

static int refuse(int code)
{
	const char *advice = "";

	if (code == -EPERM)
		advice = " (the sysctl kernel.io_uring_disabled or a seccomp filter forbids it)";
	if (code == -ENOMEM)
		advice = " (the limit of locked memory, ulimit -l, is too low)";
	return error_record(code, "aio=io_uring: io_uring_setup: %s%s: use aio=threads",
			    strerror(-code), advice);
}

/* A registered file saves the kernel a look-up for each transfer. */
static void choose_file(struct uring *uring, int fd)
{
	uring->fd = fd;
	if (io_uring_register_files(&uring->ring, &fd, 1))
		return;
	uring->fd = 0;
	uring->flags = IOSQE_FIXED_FILE;
}

int uring_open(struct uring **made, const struct storage *storage)
{
	struct io_uring_params parameters = { .flags = IORING_SETUP_CQSIZE,
					      .cq_entries = COMPLETIONS };
	struct uring *uring = calloc(1, sizeof(*uring));
	int result;

	if (!uring)
		return error_record(-ENOMEM, "aio=io_uring: no memory");
	result = io_uring_queue_init_params(SUBMISSIONS, &uring->ring,
					    &parameters);
	if (result) {
		free(uring);
		return refuse(result);
	}
	choose_file(uring, storage->fd);
	*made = uring;
	return 0;
}

void uring_close(struct uring *uring)
{
	if (!uring)
		return;
	io_uring_queue_exit(&uring->ring);
	free(uring);
}

int uring_fd(const struct uring *uring)
{
	return uring->ring.ring_fd;
}

static struct io_uring_sqe *find_room(struct uring *uring)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);

	if (entry)
		return entry;
	uring_submit(uring);
	return io_uring_get_sqe(&uring->ring);
}

static void describe(struct io_uring_sqe *entry, int fd,
		     const struct postponed *transfer,
		     const struct iovec *segments)
{
	const struct span *span = &transfer->span;
	void *base = segments[0].iov_base;

	/* A length of 32 bits is enough, because a descriptor has no more. */
	if (span->count == 1 && transfer->is_write)
		io_uring_prep_write(entry, fd, base, span->bytes, transfer->offset);
	else if (span->count == 1)
		io_uring_prep_read(entry, fd, base, span->bytes, transfer->offset);
	else if (transfer->is_write)
		io_uring_prep_writev(entry, fd, segments, span->count,
				     transfer->offset);
	else
		io_uring_prep_readv(entry, fd, segments, span->count,
				    transfer->offset);
}

bool uring_add(struct uring *uring, struct storage *storage,
	       const struct postponed *transfer, const struct iovec *segments,
	       void *owner)
{
	struct io_uring_sqe *entry;

	if (transfer->is_write && file_check_is_whole(storage))
		return false;
	entry = find_room(uring);
	if (!entry)
		return false;
	describe(entry, uring->fd, transfer, segments);
	io_uring_sqe_set_flags(entry, uring->flags);
	io_uring_sqe_set_data(entry, owner);
	uring->added++;
	return true;
}

/* The kernel lacks memory, or has too many completions that were not taken. */
static bool is_temporary(int code)
{
	return code == -EAGAIN || code == -EBUSY || code == -EINTR ||
	       code == -ENOMEM;
}

int uring_submit(struct uring *uring)
{
	int taken;

	if (!uring->added)
		return 0;
	taken = io_uring_submit(&uring->ring);
	if (taken < 0)
		return is_temporary(taken) ? -EAGAIN : taken;
	uring->added -= taken;
	uring->in_flight += taken;
	return uring->added ? -EAGAIN : 0;
}

/* A call that fails has taken nothing, so these are the last `added` entries. */
void *uring_take_back(struct uring *uring)
{
	const struct io_uring_sq *queue = &uring->ring.sq;
	unsigned int index = queue->sqe_tail - uring->added;

	if (!uring->added)
		return NULL;
	uring->added--;
	return (void *)(uintptr_t)queue->sqes[index & *queue->kring_mask].user_data;
}

void *uring_take(struct uring *uring, int *result)
{
	struct io_uring_cqe *entry;
	void *owner;

	if (!uring->in_flight || io_uring_peek_cqe(&uring->ring, &entry))
		return NULL;
	owner = io_uring_cqe_get_data(entry);
	*result = entry->res;
	io_uring_cqe_seen(&uring->ring, entry);
	uring->in_flight--;
	return owner;
}

#else

int uring_open(struct uring **made, const struct storage *storage)
{
	(void)made, (void)storage;
	return error_record(-ENOSYS, "aio=io_uring: this back-end was built without "
				     "liburing (Debian's package liburing-dev): use "
				     "aio=threads");
}

void uring_close(struct uring *uring)
{
	(void)uring;
}

int uring_fd(const struct uring *uring)
{
	(void)uring;
	return -1;
}

bool uring_add(struct uring *uring, struct storage *storage,
	       const struct postponed *transfer, const struct iovec *segments,
	       void *owner)
{
	(void)uring, (void)storage, (void)transfer, (void)segments, (void)owner;
	return false;
}

int uring_submit(struct uring *uring)
{
	(void)uring;
	return 0;
}

void *uring_take_back(struct uring *uring)
{
	(void)uring;
	return NULL;
}

void *uring_take(struct uring *uring, int *result)
{
	(void)uring, (void)result;
	return NULL;
}

#endif
