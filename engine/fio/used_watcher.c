/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that notes when requests are in the used rings; see fio/used_watcher.h.
 *
 * The two threads share one table for each queue: when and at which used index each id was last
 * seen. A time that is not between the request's publication and its end is dropped. When several
 * requests are completed between two looks, all get the time of the second look.
 *
 *   | the watcher                       | pairs with the job's             | if missing
 * --+-----------------------------------+----------------------------------+-------------------
 * B | acquire of used idx, then reading | (the back-end's release, see     | it reads a stale
 *   | element                           | ring/virtq.h)                    | element
 * U | release: index, then ticks        | acquire of ticks, then index     | ticks of one use of
 *   |                                   |                                  | the id count for an
 *   |                                   |                                  | earlier one
 *
 * The job may still read the ticks of an earlier use beside a newer index. These ticks are before
 * the request's publication, so they are dropped. must_end needs no order: pthread_join() makes the
 * watcher's last look precede all that follows. virtq_rewind() zeroes rings while the watcher
 * looks at them; after that, the job keeps no times.
 */
#include "fio/used_watcher.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/barrier.h"
#include "base/error.h"
#include "base/ticks.h"
#include "device/queue.h"

/* The thread gives way to others where it shares a CPU with them. */
#define NICENESS 19

/* Of an id: the writer sets ticks last, and the reader reads them first. */
struct seen {
	uint64_t ticks;
	uint16_t index;
};

struct watched_queue {
	const struct virtq *vq; /* what is set up once */
	struct seen *seen;      /* one for each ring entry */
	uint16_t next;          /* the used index that was seen last */
};

struct used_watcher {
	pthread_t thread;
	bool must_end; /* atomic */
	unsigned int num_queues;
	struct watched_queue queues[];
};

/* ---- the thread -------------------------------------------------------------------- */

/* The back-end may move the index at will; no more elements are new than the ring has. */
static void note_used(struct watched_queue *queue, uint16_t index, uint64_t ticks)
{
	const struct virtq *vq = queue->vq;

	if ((uint16_t)(index - queue->next) > vq->shape.size)
		queue->next = index - vq->shape.size;
	for (; queue->next != index; queue->next++) {
		uint32_t id = load_relaxed_u32(&vq->used->ring[queue->next & vq->mask].id);
		struct seen *seen = &queue->seen[id & vq->mask];

		store_relaxed_u16(&seen->index, queue->next);
		store_release_u64(&seen->ticks, ticks); /* barrier U */
	}
}

static void *watch(void *context)
{
	struct used_watcher *watcher = context;

	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
	while (!load_relaxed_bool(&watcher->must_end)) {
		for (unsigned int i = 0; i < watcher->num_queues; i++) {
			struct watched_queue *queue = &watcher->queues[i];
			uint16_t index = load_acquire_u16(&queue->vq->used->idx); /* barrier B */

			if (index != queue->next)
				note_used(queue, index, ticks_now());
		}
		cpu_relax();
	}
	return NULL;
}

/* ---- begin and end ------------------------------------------------------------------- */

static void free_watcher(struct used_watcher *watcher)
{
	for (unsigned int i = 0; i < watcher->num_queues; i++)
		free(watcher->queues[i].seen);
	free(watcher);
}

static struct used_watcher *make_watcher(const struct virtq *const *files, unsigned int num_files)
{
	struct used_watcher *watcher =
		calloc(1, sizeof(*watcher) + num_files * sizeof(*watcher->queues));

	while (watcher && watcher->num_queues < num_files) {
		const struct virtq *vq = files[watcher->num_queues];
		struct seen *seen = calloc(vq->shape.size, sizeof(*seen));

		if (!seen) {
			free_watcher(watcher);
			return NULL;
		}
		watcher->queues[watcher->num_queues++] = (struct watched_queue){
			.vq = vq, .seen = seen, .next = virtq_used_index(vq) };
	}
	return watcher;
}

/* Signals are for fio's own threads. The job may be bound to other CPUs. */
static int start_thread(struct used_watcher *watcher, unsigned int cpu)
{
	pthread_attr_t attributes;
	sigset_t every, before;
	cpu_set_t cpus;
	int code;

	if (cpu >= CPU_SETSIZE)
		return EINVAL;
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	pthread_attr_init(&attributes);
	pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	code = pthread_create(&watcher->thread, &attributes, watch, watcher);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return code;
}

int used_watcher_start(struct used_watcher **result, const struct virtq *const *files,
		       unsigned int num_files, unsigned int cpu)
{
	struct used_watcher *watcher = make_watcher(files, num_files);
	int code;

	if (!watcher)
		return error_set(ENOMEM, "no memory for the times of the used rings");
	code = start_thread(watcher, cpu);
	if (code) {
		free_watcher(watcher);
		return error_set(code, "explain_watch=%u: cannot start a thread on CPU %u (%s): "
				 "name a CPU that fio may use", cpu, cpu, strerror(code));
	}
	*result = watcher;
	return 0;
}

void used_watcher_stop(struct used_watcher *watcher)
{
	if (!watcher)
		return;
	store_relaxed_bool(&watcher->must_end, true);
	pthread_join(watcher->thread, NULL);
	free_watcher(watcher);
}

uint64_t used_watcher_saw(const struct used_watcher *watcher, unsigned int file,
			  uint16_t chain, uint16_t since)
{
	const struct watched_queue *queue = &watcher->queues[file];
	const struct virtq_shape *shape = &queue->vq->shape;
	unsigned int id = shape->indirect ? chain : chain * shape->chain_length;
	const struct seen *seen = &queue->seen[id & queue->vq->mask];
	uint64_t ticks = load_acquire_u64(&seen->ticks); /* barrier U */

	return (int16_t)(load_relaxed_u16(&seen->index) - since) >= 0 ? ticks : 0;
}
