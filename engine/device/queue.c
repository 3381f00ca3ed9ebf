/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Request queues; see device/queue.h. The I/O path. */
#include "device/queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/eventfd.h"
#include "base/full_eventfds.h"

/* How often a part is sent in all if it came back for a reason that has passed, such
 * as a unit attention or a reset. */
#define MAX_TRIES 5
/* The value of request.tries that says that the part is not sent again. */
#define NO_MORE_TRIES UINT8_MAX
/* The pauses before a part is sent again to a busy device. Each is twice as long as the
 * one before. */
#define FIRST_PAUSE_NS (50 * NS_PER_US)
#define LONGEST_PAUSE_NS (100 * NS_PER_MS)
/* A kick that takes longer included two context switches and a request: 8 to 16 us
 * where it was measured. A kick alone took 0.3 to 1 us. */
#define SWITCH_NS (2 * NS_PER_US)
/* About ten context switches. A batch of small requests is submitted in less time. */
#define PATIENCE_NS (100 * NS_PER_US)

static int open_eventfds(struct queue *queue)
{
	queue->kick_fd = eventfd_open();
	if (queue->kick_fd < 0)
		return queue->kick_fd;
	full_eventfds_watch(queue->kick_fd);
	queue->call_fd = eventfd_open();
	if (queue->call_fd < 0)
		return queue->call_fd;
	/* The library kicks it, too. */
	full_eventfds_watch(queue->call_fd);
	return 0;
}

static void close_eventfd(int fd)
{
	if (fd < 0)
		return;
	full_eventfds_forget(fd);
	close(fd);
}

static int make_requests(struct queue *queue)
{
	uint16_t count = queue->vq.shape.num_chains;

	queue->requests = calloc(count, sizeof(*queue->requests));
	queue->free_chains = calloc(count, sizeof(uint16_t));
	queue->retries = calloc(count, sizeof(*queue->retries));
	if (!queue->requests || !queue->free_chains || !queue->retries)
		return error_set(ENOMEM, "no memory for a queue of %u requests",
				 count);
	while (queue->num_free < count) {
		uint16_t chain = count - 1 - queue->num_free;

		queue->requests[chain].chain = chain;
		queue->commands->lay(queue->disk, &queue->vq, chain);
		queue->free_chains[queue->num_free++] = chain;
	}
	return 0;
}

int queue_init(struct queue *queue, const struct disk *disk,
	       const struct command_set *commands,
	       const struct virtq_shape *shape, void *memory)
{
	int code;

	memset(queue, 0, sizeof(*queue));
	queue->disk = disk;
	queue->commands = commands;
	queue->kick_fd = queue->call_fd = -1;
	code = virtq_init(&queue->vq, shape, memory);
	if (!code)
		code = make_requests(queue);
	if (!code)
		code = open_eventfds(queue);
	if (code)
		queue_close(queue);
	return code;
}

void queue_close(struct queue *queue)
{
	close_eventfd(queue->kick_fd);
	close_eventfd(queue->call_fd);
	free(queue->requests);
	free(queue->free_chains);
	free(queue->retries);
	virtq_close(&queue->vq);
}

/* The chain freed last is taken first, because its cache lines are still cached. */
struct request *queue_get(struct queue *queue)
{
	if (!queue->num_free)
		return NULL;
	return &queue->requests[queue->free_chains[--queue->num_free]];
}

void queue_put(struct queue *queue, struct request *req)
{
	/* The back-end may still use the chain if the queue was abandoned. */
	if (!virtq_holds(&queue->vq, req->chain))
		queue->free_chains[queue->num_free++] = req->chain;
}

static inline void submit_part(struct queue *queue, struct request *req)
{
	uint16_t length = queue->commands->prepare(queue->disk, &queue->vq, req);

	virtq_submit(&queue->vq, req->chain, length);
	queue->counters.requests++;
}

static int refuse_type(const struct disk *disk, uint8_t type)
{
	if (disk->info.read_only)
		return error_set(EROFS, "a %s goes to a device that is "
				 "read-only", disk_request_name(type));
	return error_set(EOPNOTSUPP, "a %s goes to a device that does not offer "
			 "it", disk_request_name(type));
}

/* Refuses, with a sentence, a request that the device would refuse or mishandle. */
static int check(const struct queue *queue, const struct request *req)
{
	const struct device_info *info = &queue->disk->info;
	uint64_t block_mask = info->block_size - 1;

	if (queue->abandoned)
		return error_set(queue->abandoned, "%s", queue->reason);
	if (!(queue->disk->allowed_types >> req->type & 1))
		return refuse_type(queue->disk, req->type);
	if (req->type > REQUEST_WRITE_ZEROES)
		return 0;
	if ((req->offset_bytes | req->left_bytes) & block_mask)
		return error_set(EINVAL, "a %s of %llu bytes at %llu is not "
			"made of whole %u byte blocks",
			disk_request_name(req->type),
			(unsigned long long)req->left_bytes,
			(unsigned long long)req->offset_bytes,
			info->block_size);
	if (disk_ends_before(queue->disk, req->offset_bytes, req->left_bytes))
		return disk_refuse_range(queue->disk, req->type, req->offset_bytes,
					 req->left_bytes);
	return 0;
}

inline int queue_submit(struct queue *queue, struct request *req)
{
	int code = check(queue, req);

	if (!code)
		queue_submit_checked(queue, req);
	return code;
}

inline void queue_submit_checked(struct queue *queue, struct request *req)
{
	req->error = 0;
	req->tries = 0;
	submit_part(queue, req);
}

bool queue_publish(struct queue *queue)
{
	bool needs_kick;

	if (!virtq_num_gathered(&queue->vq))
		return false;
	virtq_publish(&queue->vq);
	queue->patient_since_ns = 0;
	needs_kick = virtq_needs_kick(&queue->vq);
	if (needs_kick)
		queue->counters.kicks++;
	else
		queue->counters.kicks_suppressed++;
	return needs_kick;
}

int queue_kick(const struct queue *queue)
{
	return eventfd_kick(queue->kick_fd);
}

/* When the kick returns, the back-end may have taken all requests and be asleep again.
 * If the kick also took long, the back-end ran on our CPU in the meantime. */
static void learn_from_kick(struct queue *queue, uint64_t began_ns)
{
	queue->shares_cpu = virtq_is_drained(&queue->vq) &&
			    clock_now_ns() - began_ns >= SWITCH_NS;
	queue->counters.kicks_switched += queue->shares_cpu;
}

/* A function of its own, because a commit without a kick needs few registers. */
static void __attribute__((noinline)) kick(struct queue *queue)
{
	/* The clock is not read for a single request: if there is never a second one
	 * in flight, requests cannot gather. */
	bool learns = queue->vq.in_flight > 1 || queue->shares_cpu;
	uint64_t began_ns = learns ? clock_now_ns() : 0;

	if (queue->times_kicks ? queue_kick_timed(queue) : queue_kick(queue))
		queue_abandon(queue, EIO);
	else if (learns)
		learn_from_kick(queue, began_ns);
}

void queue_commit(struct queue *queue)
{
	if (queue_publish(queue))
		kick(queue);
}

bool queue_saves_kick(struct queue *queue)
{
	uint64_t now_ns;

	if (!queue->shares_cpu || !virtq_is_drained(&queue->vq))
		return false;
	now_ns = clock_now_ns();
	if (!queue->patient_since_ns)
		queue->patient_since_ns = now_ns;
	return now_ns - queue->patient_since_ns < PATIENCE_NS;
}

/* ---- sending again ------------------------------------------------------- */

bool queue_holds(const struct queue *queue, uint16_t chain)
{
	return virtq_holds(&queue->vq, chain) || queue->retries[chain].due_ns;
}

bool queue_is_due(const struct queue *queue)
{
	return queue->num_waiting && clock_now_ns() >= queue->next_due_ns;
}

void queue_end_retries_of(struct request *req)
{
	req->tries = NO_MORE_TRIES;
}

void queue_end_retries(struct queue *queue)
{
	for (uint16_t i = 0; i < queue->vq.shape.num_chains; i++)
		if (queue_holds(queue, i))
			queue_end_retries_of(&queue->requests[i]);
}

static uint64_t pause_ns(const struct retry *retry)
{
	unsigned int doublings = retry->later < 16 ? retry->later : 16;
	uint64_t pause = FIRST_PAUSE_NS << doublings;

	return pause < LONGEST_PAUSE_NS ? pause : LONGEST_PAUSE_NS;
}

static void send_again(struct queue *queue, struct request *req)
{
	disk_give_part_back(req);
	submit_part(queue, req);
}

static void start_waiting(struct queue *queue, struct request *req)
{
	struct retry *retry = &queue->retries[req->chain];

	retry->due_ns = clock_now_ns() + pause_ns(retry);
	retry->later++;
	if (!queue->num_waiting || retry->due_ns < queue->next_due_ns)
		queue->next_due_ns = retry->due_ns;
	queue->num_waiting++;
}

static void stop_waiting(struct queue *queue, uint16_t chain)
{
	queue->num_waiting -= queue->retries[chain].due_ns != 0;
	queue->retries[chain].due_ns = 0;
}

static void send_due(struct queue *queue)
{
	uint64_t now_ns = clock_now_ns();

	queue->next_due_ns = UINT64_MAX;
	for (uint16_t i = 0; i < queue->vq.shape.num_chains; i++) {
		uint64_t due_ns = queue->retries[i].due_ns;

		if (due_ns && due_ns <= now_ns) {
			stop_waiting(queue, i);
			send_again(queue, &queue->requests[i]);
		} else if (due_ns && due_ns < queue->next_due_ns) {
			queue->next_due_ns = due_ns;
		}
	}
	queue_commit(queue);
}

/* A reason that has passed does not come again and again, so such tries are counted. A
 * device may be busy for a while, so that has a limit in time. */
static bool may_send_again(struct queue *queue, struct request *req, bool is_busy)
{
	struct retry *retry = &queue->retries[req->chain];

	if (req->tries == NO_MORE_TRIES)
		return false;
	if (!req->tries)
		*retry = (struct retry){ .since_ns = clock_now_ns() };
	req->tries = 1;
	if (!is_busy)
		return ++retry->at_once < MAX_TRIES;
	return !queue->retry_limit_ns ||
	       clock_now_ns() - retry->since_ns < queue->retry_limit_ns;
}

/* True if the part that came back was not carried out, and is sent again. */
static bool try_again(struct queue *queue, struct request *req)
{
	bool is_busy = req->error == DISK_TRY_LATER;

	if (req->error > 0)
		return false;
	req->error = is_busy ? ETIMEDOUT : EIO;
	if (!may_send_again(queue, req, is_busy))
		return false;
	req->error = 0;
	queue->counters.retries++;
	if (is_busy)
		start_waiting(queue, req);
	else
		send_again(queue, req);
	return true;
}

/* ---- completion ---------------------------------------------------------- */

static void count_batch(struct queue *queue, unsigned int size)
{
	unsigned int bucket = 31 - (unsigned int)__builtin_clz(size);

	if (bucket >= COUNTERS_BATCHES)
		bucket = COUNTERS_BATCHES - 1;
	queue->counters.batches[bucket]++;
}

/* All requests in flight come back with the error. Their chains are not reused. */
static unsigned int reap_abandoned(struct queue *queue, struct request **done,
				   unsigned int max)
{
	struct virtq *vq = &queue->vq;
	unsigned int count = 0;

	error_set(queue->abandoned, "%s", queue->reason);
	for (uint16_t i = 0; i < vq->shape.num_chains && count < max; i++) {
		struct request *req = &queue->requests[i];

		if (!queue_holds(queue, i) || req->error)
			continue;
		stop_waiting(queue, i);
		req->error = queue->abandoned;
		queue->counters.errors++;
		done[count++] = req;
	}
	return count;
}

/* Handles a part that came back. True if the request is done, false if another part
 * of it is in flight or waits to be sent again. */
static bool finish_part(struct queue *queue, struct request *req)
{
	req->error = queue->commands->result(queue->disk, &queue->vq, req);
	if (req->error) {
		if (try_again(queue, req))
			return false;
		queue->counters.errors++;
	} else if (req->left_bytes) {
		req->tries = 0;
		submit_part(queue, req);
		return false;
	}
	return true;
}

unsigned int queue_reap(struct queue *queue, struct request **done,
			unsigned int max)
{
	uint16_t chains[QUEUE_REAP_AT_ONCE];
	unsigned int count = 0;
	int found;

	if (queue->abandoned)
		return reap_abandoned(queue, done, max);
	if (queue->num_waiting && queue_is_due(queue))
		send_due(queue);
	if (max > QUEUE_REAP_AT_ONCE)
		max = QUEUE_REAP_AT_ONCE;
	found = virtq_reap(&queue->vq, chains, max);
	if (found <= 0) {
		if (found < 0)
			queue_abandon(queue, EIO);
		return 0;
	}
	count_batch(queue, (unsigned int)found);
	for (int i = 0; i < found; i++) {
		struct request *req = &queue->requests[chains[i]];

		if (finish_part(queue, req))
			done[count++] = req;
	}
	if (count < (unsigned int)found)
		queue_commit(queue);
	return count;
}

const char *queue_explain(struct queue *queue, const struct request *req)
{
	uint64_t part_at = req->offset_bytes - req->part_bytes;

	if (queue->abandoned)
		error_set(req->error, "%s", queue->reason);
	else if (!queue->commands->result(queue->disk, &queue->vq, req))
		error_set(req->error, "the back-end reported that a %s failed, and "
			  "then that it did not", disk_request_name(req->type));
	else if (req->type <= REQUEST_WRITE_ZEROES &&
		 disk_ends_before(queue->disk, part_at, req->part_bytes))
		disk_refuse_range(queue->disk, req->type, part_at, req->part_bytes);
	return error_message();
}

void queue_abandon(struct queue *queue, int code)
{
	if (queue->abandoned)
		return;
	snprintf(queue->reason, sizeof(queue->reason), "%s", error_message());
	queue->abandoned = code;
}
