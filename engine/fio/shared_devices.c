/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices shared by the threads of a process; see fio/shared_devices.h. */
#include "fio/shared_devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "fio/kept.h"
#include "fio/together.h"

/* This is usually more than enough for the rings of a job's queue. If they need more,
 * they get a region of their own. */
#define RING_ROOM_BYTES (64ul << 10)
#define RING_ROOM_BYTES_A_REQUEST 1024ul

/* Memory for all jobs that want the same kind of pages. */
struct pool {
	struct memory memory;        /* while devices > 0 */
	unsigned int devices;
	uint64_t *bytes_of_jobs;     /* planned, by the number of the job */
	size_t planned_bytes;        /* the most at once */
};

struct entry {
	struct entry *next;
	struct device_config config; /* merged over all jobs; socket is ours */
	uint64_t *jobs;              /* queues of each of fio's jobs, by its number */
	bool *is_awaited;            /* planned, and has not begun */
	unsigned int planned_jobs;   /* the most of them at once */
	unsigned int most_jobs;      /* the same with unplanned ones */
	struct device *device;       /* while it has users, or jobs wait to use it */
	unsigned int users;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries;
static struct pool pools[HUGEPAGES_1G + 1]; /* by enum hugepages */
static pid_t forked_process; /* that has emptied the registry; 0: none */

/* Two disks behind one controller are two devices with a connection each. */
static bool is_same_disk(const struct device_config *a, const struct device_config *b)
{
	return !strcmp(a->socket, b->socket) &&
	       a->scsi_address_set == b->scsi_address_set &&
	       a->scsi_target == b->scsi_target && a->scsi_lun == b->scsi_lun;
}

static struct entry *find(const struct device_config *config)
{
	struct entry *entry = entries;

	while (entry && !is_same_disk(&entry->config, config))
		entry = entry->next;
	return entry;
}

/* A fork may happen between any two statements, and the child then walks the entries
 * and their devices. So an entry is complete before it is in the list, and a device is
 * open as long as an entry names it. */
static struct entry *add(const struct device_config *config)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	char *socket = strdup(config->socket);
	uint64_t *jobs = calloc(fio_num_jobs(), sizeof(*jobs));
	bool *is_awaited = calloc(fio_num_jobs(), sizeof(*is_awaited));

	if (!entry || !socket || !jobs || !is_awaited) {
		free(entry);
		free(socket);
		free(jobs);
		free(is_awaited);
		return NULL;
	}
	entry->config = *config;
	entry->config.socket = socket;
	entry->jobs = jobs;
	entry->is_awaited = is_awaited;
	entry->next = entries;
	__atomic_store_n(&entries, entry, __ATOMIC_SEQ_CST);
	return entry;
}

static void set_device(struct entry *entry, struct device *dev)
{
	__atomic_store_n(&entry->device, dev, __ATOMIC_SEQ_CST);
}

/* The memory of the entries is not freed, because another thread of the parent may have
 * been changing the heap at the moment of the fork. */
void registry_begin_process(void)
{
	if (forked_process == getpid())
		return;
	forked_process = getpid();
	pthread_mutex_init(&lock, NULL);
	for (struct entry *entry = entries; entry; entry = entry->next)
		if (entry->device)
			device_forget_inherited(entry->device);
	for (int i = HUGEPAGES_AUTO; i <= HUGEPAGES_1G; i++) {
		memory_forget_inherited(&pools[i].memory);
		pools[i].devices = 0;
		pools[i].bytes_of_jobs = NULL;
		pools[i].planned_bytes = 0;
	}
	entries = NULL;
}

/* Jobs on one connection cannot have it set up in different ways. */
static const char *disagreement(const struct device_config *a,
				const struct device_config *b)
{
	if (a->type != b->type)
		return "device";
	if (a->indirect != b->indirect)
		return "indirect";
	if (a->event_idx != b->event_idx)
		return "event_idx";
	if (a->queue_size != b->queue_size)
		return "queue_size";
	if (a->hugepages != b->hugepages)
		return "hugepages";
	return NULL;
}

static void count_job(struct entry *entry, unsigned int job, unsigned int most_jobs)
{
	unsigned int together;

	entry->jobs[job]++;
	entry->is_awaited[job] = true;
	together = (unsigned int)fio_most_at_once(entry->jobs, job);
	if (together > entry->planned_jobs)
		entry->planned_jobs = together;
	if (together > most_jobs)
		most_jobs = together;
	if (most_jobs > entry->most_jobs)
		entry->most_jobs = most_jobs;
}

static void count_bytes(const struct device_config *config, unsigned int job)
{
	struct pool *pool = &pools[config->hugepages];
	uint64_t most;

	pool->bytes_of_jobs[job] += config->memory_bytes + RING_ROOM_BYTES +
				    config->depth * RING_ROOM_BYTES_A_REQUEST;
	most = fio_most_at_once(pool->bytes_of_jobs, job);
	if (most > pool->planned_bytes)
		pool->planned_bytes = most;
}

static bool make_room_for_plans(struct pool *pool)
{
	if (!pool->bytes_of_jobs)
		pool->bytes_of_jobs = calloc(fio_num_jobs(),
					     sizeof(*pool->bytes_of_jobs));
	return pool->bytes_of_jobs && fio_place_jobs();
}

static void merge(struct entry *entry, const struct device_config *config)
{
	struct device_config *merged = &entry->config;

	if (config->depth > merged->depth)
		merged->depth = config->depth;
	if (config->max_request_bytes > merged->max_request_bytes)
		merged->max_request_bytes = config->max_request_bytes;
	if (config->num_queues > merged->num_queues)
		merged->num_queues = config->num_queues;
	if (config->reconnect_timeout_ms > merged->reconnect_timeout_ms)
		merged->reconnect_timeout_ms = config->reconnect_timeout_ms;
}

static int plan_locked(const struct device_config *config, unsigned int job,
		       unsigned int most_jobs)
{
	struct entry *entry = find(config);
	const char *option;

	if (!entry && make_room_for_plans(&pools[config->hugepages]))
		entry = add(config);
	if (!entry)
		return error_set(ENOMEM, "%s: no memory for a plan", config->socket);
	option = disagreement(&entry->config, config);
	if (option)
		return error_set(EINVAL, "%s: jobs that share a connection "
			"(thread=1) must agree on %s", config->socket, option);
	merge(entry, config);
	count_bytes(config, job);
	count_job(entry, job, most_jobs);
	return (int)entry->planned_jobs;
}

int registry_plan(const struct device_config *config, unsigned int job,
		  unsigned int most_jobs)
{
	int jobs;

	pthread_mutex_lock(&lock);
	jobs = plan_locked(config, job, most_jobs);
	pthread_mutex_unlock(&lock);
	return jobs;
}

static struct pool *pool_of(const struct entry *entry)
{
	return &pools[entry->config.hugepages];
}

/* The memory is made for the first device and closed after the last one. */
static int open_memory(struct pool *pool, int hugepages)
{
	int code;

	if (pool->devices)
		return 0;
	memory_init(&pool->memory, hugepages);
	code = memory_add_region(&pool->memory, pool->planned_bytes);
	if (code < 0) {
		memory_close(&pool->memory);
		return code;
	}
	return 0;
}

static void close_memory(struct pool *pool)
{
	if (!pool->devices)
		memory_close(&pool->memory);
}

/* Asks for a queue for each job, or for all that the back-end has if these are fewer.
 * num_queues= is a minimum that the back-end must have. */
static void choose_num_queues(struct device *dev, unsigned int jobs)
{
	struct device_info info;

	device_describe(dev, &info);
	if (jobs > info.max_queues)
		jobs = info.max_queues;
	if (jobs > dev->config.num_queues)
		dev->config.num_queues = jobs;
}

/* A back-end that comes back is compared by its ID. A question without an answer stays in
 * the queue, which belongs to a job next. */
static int identify(struct device *dev)
{
	if (!dev->config.reconnect_timeout_ms)
		return 0;
	device_identify(dev);
	if (!queue_in_flight(&dev->queues[dev->first_queue]))
		return 0;
	return error_set(ETIMEDOUT, "%s: the back-end does not answer when it is asked for its "
			 "ID, so it could not be recognised when it comes back: leave "
			 "reconnect_timeout= out", dev->vu.path);
}

/* config is that of the job that waits for the back-end. */
static int open_device(struct entry *entry, const struct device_config *config)
{
	struct pool *pool = pool_of(entry);
	struct device *dev = NULL;
	int code = open_memory(pool, entry->config.hugepages);

	if (code)
		return code;
	entry->config.memory = &pool->memory;
	entry->config.connect_timeout_ms = config->connect_timeout_ms;
	code = kept_open(&dev, &entry->config);
	if (!code) {
		choose_num_queues(dev, entry->most_jobs);
		code = device_start(dev);
	}
	if (!code)
		code = identify(dev);
	if (code) {
		device_close(dev);
		close_memory(pool);
		return code;
	}
	set_device(entry, dev);
	pool->devices++;
	return 0;
}

static void close_device(struct entry *entry)
{
	struct device *dev = entry->device;

	set_device(entry, NULL);
	device_close(dev);
	pool_of(entry)->devices--;
	close_memory(pool_of(entry));
}

static bool has_abandoned(const struct device *dev)
{
	for (unsigned int i = 0; i < dev->num_open; i++)
		if (dev->queues[i].abandoned)
			return true;
	return false;
}

/* The device was kept after its last user. Jobs may have been planned in the meantime. */
static bool is_sufficient(const struct entry *entry)
{
	const struct device_config *wanted = &entry->config;
	const struct pool *pool = pool_of(entry);
	struct device_info info;

	device_describe(entry->device, &info);
	return entry->device->config.depth >= wanted->depth &&
	       entry->device->config.max_request_bytes >= wanted->max_request_bytes &&
	       (info.num_queues >= entry->most_jobs ||
		info.num_queues >= info.max_queues) &&
	       /* Memory that another device uses would stay as it is. */
	       (pool->devices > 1 || memory_bytes(&pool->memory) >= pool->planned_bytes);
}

static int make_ready(struct entry *entry, const struct device_config *config)
{
	struct device *dev = entry->device;

	if (entry->users)
		return 0;
	if (dev && (device_is_gone(dev) || has_abandoned(dev) || !is_sufficient(entry)))
		close_device(entry);
	return entry->device ? 0 : open_device(entry, config);
}

int registry_acquire(const struct device_config *config, unsigned int job,
		     struct device **dev)
{
	struct entry *entry;
	int code = 0;

	pthread_mutex_lock(&lock);
	entry = find(config);
	if (!entry)
		code = error_set(ENODEV, "%s: no job was planned on it",
				 config->socket);
	else
		code = make_ready(entry, config);
	if (entry)
		entry->is_awaited[job] = false;
	if (!code) {
		entry->users++;
		*dev = entry->device;
	}
	pthread_mutex_unlock(&lock);
	return code;
}

static struct entry *find_device(const struct device *dev)
{
	struct entry *entry = entries;

	while (entry->device != dev)
		entry = entry->next;
	return entry;
}

static bool is_awaited(const struct entry *entry)
{
	for (unsigned int job = 0; job < fio_num_jobs(); job++)
		if (entry->is_awaited[job])
			return true;
	return false;
}

/* Many back-ends serve one client at a time, so nothing is kept from a job that makes a
 * connection of its own. */
static bool is_kept(const struct entry *entry)
{
	return is_awaited(entry) && !kept_is_contended(entry->config.socket);
}

void registry_release(struct device *dev)
{
	struct entry *entry;

	pthread_mutex_lock(&lock);
	entry = find_device(dev);
	if (--entry->users == 0 && !is_kept(entry))
		close_device(entry);
	pthread_mutex_unlock(&lock);
}

/* A job that failed early has not acquired all of its devices. */
void registry_end_job(unsigned int job)
{
	pthread_mutex_lock(&lock);
	for (struct entry *entry = entries; entry; entry = entry->next) {
		entry->is_awaited[job] = false;
		if (entry->device && !entry->users && !is_awaited(entry))
			close_device(entry);
	}
	pthread_mutex_unlock(&lock);
}

bool registry_awaits(const char *socket)
{
	bool is_found = false;

	pthread_mutex_lock(&lock);
	for (struct entry *entry = entries; entry; entry = entry->next)
		is_found |= !strcmp(entry->config.socket, socket) && is_awaited(entry);
	pthread_mutex_unlock(&lock);
	return is_found;
}
