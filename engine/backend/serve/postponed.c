/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives requests to others and takes them back. The request's memory is allocated when the
 * worker starts, and its pages when they are first used.
 */
#include "serve/postponed.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "storage/uring.h"

/* Requests that one worker can postpone. Further ones make it wait. */
enum { REQUESTS_MAX = 1024 };

int postponed_open(struct postponed_set *set, struct storage *storage,
		   struct helpers *helpers, enum aio_kind kind, int wake_fd)
{
	const size_t bytes = REQUESTS_MAX * sizeof(*set->free);
	struct postponed_request *requests =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct uring *uring = NULL;
	unsigned int i;
	int result = 0;

	if (requests == MAP_FAILED)
		return error_record(-errno, "requests in flight: %s",
				    strerror(errno));
	if (kind != AIO_THREADS)
		result = uring_open(&uring, storage);
	if (result && kind == AIO_URING) {
		munmap(requests, bytes);
		return result;
	}
	*set = (struct postponed_set){ .helpers = helpers,
				       .storage = storage,
				       .uring = uring,
				       .wake_fd = wake_fd,
				       .mapping = requests };
	pthread_mutex_init(&set->lock, NULL);
	for (i = REQUESTS_MAX; i--;) {
		requests[i].next = set->free;
		set->free = &requests[i];
	}
	return 0;
}

void postponed_close(struct postponed_set *set)
{
	if (!set->mapping)
		return;
	uring_close(set->uring);
	pthread_mutex_destroy(&set->lock);
	munmap(set->mapping, REQUESTS_MAX * sizeof(*set->free));
	*set = (struct postponed_set){ 0 };
}

const char *postponed_way(const struct postponed_set *set)
{
	if (!set->mapping)
		return "off";
	return set->uring && !set->uring_failed ? "io_uring" : "threads";
}

int postponed_fd(const struct postponed_set *set)
{
	return set->uring ? uring_fd(set->uring) : -1;
}

/* ---- helpers ------------------------------------------------------------- */

static void wake(struct postponed_set *set)
{
	const uint64_t one = 1;

	while (write(set->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* A helper: the worker owns the request again from the end of the lock on. */
static void give_back(struct postponed_request *request)
{
	struct postponed_set *set = request->set;
	bool is_sleeping;

	pthread_mutex_lock(&set->lock);
	request->next = set->done;
	shared_write(&set->done, request);
	is_sleeping = set->is_sleeping;
	set->is_sleeping = false;
	if (is_sleeping)
		wake(set);
	pthread_mutex_unlock(&set->lock);
}

static void carry_out(struct job *job)
{
	struct postponed_request *request = (struct postponed_request *)job;
	struct session *session = request->session;

	session->device->ops->serve(session, request->ring, &request->chain,
				    &request->what);
	give_back(request);
}

/* The chain was consumed, so it is read anew. */
static int give_to_helpers(struct postponed_set *set,
			   struct postponed_request *request)
{
	int result = ring_load(request->ring, request->done.head,
			       &request->chain);

	if (result)
		return result;
	request->is_transfer = false;
	request->job.run = carry_out;
	set->with_helpers++;
	helpers_give(set->helpers, &request->job);
	return 0;
}

/* ---- the kernel ---------------------------------------------------------- */

static bool give_to_kernel(struct postponed_set *set,
			   struct postponed_request *request)
{
	const struct span *span = &set->later.span;
	struct iovec *segments = request->chain.segments;

	if (!set->uring || set->uring_failed || !set->later.is_transfer)
		return false;
	memcpy(segments, span->segments, span->count * sizeof(*segments));
	request->offset = set->later.offset;
	request->bytes = span->bytes;
	request->is_transfer = true;
	return uring_add(set->uring, set->storage, &set->later, segments,
			 request);
}

/* What was only begun is carried out again by a helper, which says why it failed. */
static bool is_settled(struct postponed_set *set,
		       struct postponed_request *request, int result)
{
	if (result == -EAGAIN || result == -EINTR || result == -ECANCELED ||
	    (result >= 0 && (size_t)result != request->bytes)) {
		request->result = give_to_helpers(set, request);
		return request->result != 0;
	}
	request->result = 0;
	if (result < 0)
		request->result = storage_failed(
			set->storage,
			request->what.kind == OPERATION_WRITE ? "write" : "read",
			request->offset, result);
	return true;
}

/* ---- the worker ---------------------------------------------------------- */

void postponed_release(struct postponed_set *set,
		       struct postponed_request *request)
{
	request->ring->postponed--;
	set->count--;
	request->next = set->free;
	set->free = request;
}

int postponed_add(struct postponed_set *set, struct ring *ring,
		  struct session *session, const struct held *done,
		  const struct operation *what)
{
	struct postponed_request *request = set->free;
	int result;

	/* A helper may give it back at once. */
	set->free = request->next;
	set->count++;
	ring->postponed++;
	request->set = set;
	request->ring = ring;
	request->session = session;
	request->done = *done;
	request->what = *what;
	request->what.later = NULL;
	result = give_to_kernel(set, request) ? 0 :
						give_to_helpers(set, request);
	if (result)
		postponed_release(set, request);
	return result;
}

/* The kernel still carries out what it has taken. A chain that the client has changed
 * cannot be loaded, so its request is done, and the worker finds this out again. */
static void fall_back(struct postponed_set *set, int code)
{
	struct postponed_request *request;

	set->uring_failed = true;
	log_line(set->storage->log_fd,
		 "aio=io_uring: io_uring_enter: %s: threads serve the file from now on",
		 strerror(-code));
	while ((request = uring_take_back(set->uring))) {
		request->result = give_to_helpers(set, request);
		if (!request->result)
			continue;
		set->with_helpers++;
		give_back(request);
	}
}

bool postponed_submit(struct postponed_set *set)
{
	int result = 0;

	if (set->uring && !set->uring_failed)
		result = uring_submit(set->uring);
	if (unlikely(result && result != -EAGAIN))
		fall_back(set, result);
	return result != -EAGAIN;
}

static struct postponed_request *take_from_helpers(struct postponed_set *set)
{
	struct postponed_request *request;

	if (!shared_read(&set->done))
		return NULL;
	pthread_mutex_lock(&set->lock);
	request = set->done;
	shared_write(&set->done, request->next);
	pthread_mutex_unlock(&set->lock);
	set->with_helpers--;
	return request;
}

struct postponed_request *postponed_take(struct postponed_set *set)
{
	struct postponed_request *request = take_from_helpers(set);
	int result;

	if (request || !set->uring)
		return request;
	while ((request = uring_take(set->uring, &result)))
		if (is_settled(set, request, result))
			return request;
	return NULL;
}

/* ---- sleeping ------------------------------------------------------------ */

bool postponed_sleep(struct postponed_set *set)
{
	bool is_done;

	if (!postponed_submit(set))
		return true;
	if (!set->with_helpers)
		return false;
	pthread_mutex_lock(&set->lock);
	is_done = set->done != NULL;
	set->is_sleeping = !is_done;
	pthread_mutex_unlock(&set->lock);
	return is_done;
}

void postponed_awake(struct postponed_set *set)
{
	if (!set->with_helpers)
		return;
	pthread_mutex_lock(&set->lock);
	set->is_sleeping = false;
	pthread_mutex_unlock(&set->lock);
}

void postponed_wait(struct postponed_set *set)
{
	struct pollfd fds[] = {
		{ .fd = set->wake_fd, .events = POLLIN },
		{ .fd = postponed_fd(set), .events = POLLIN },
	};
	uint64_t counter;

	if (!postponed_sleep(set) && poll(fds, 2, -1) > 0 &&
	    fds[0].revents && read(set->wake_fd, &counter, sizeof(counter)) < 0)
		errno = 0; /* another signal has not arrived yet */
	postponed_awake(set);
}
