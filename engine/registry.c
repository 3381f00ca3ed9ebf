/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices shared by the threads of a process; see registry.h. */
#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* For the rings of a job's queue, plenty; should they need more after all, they
 * get a region of their own. */
#define RING_ROOM_BYTES (64ul << 10)
#define RING_ROOM_BYTES_A_REQUEST 1024ul

struct entry {
	struct entry *next;
	struct device_config config; /* merged over all jobs; socket is ours */
	unsigned int phase;          /* of jobs */
	int jobs;                    /* planned in that phase */
	struct device *device;       /* while users > 0 */
	unsigned int users;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries;
static unsigned int phase;
static size_t phase_bytes;   /* planned in this phase */
static size_t planned_bytes; /* in the largest phase */
static int planned_hugepages;
static struct memory memory;
static unsigned int open_devices;

/* Two disks behind one controller are two devices, a connection each. */
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

static struct entry *add(const struct device_config *config)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->config = *config;
	entry->config.socket = strdup(config->socket);
	entry->phase = phase;
	entry->next = entries;
	entries = entry;
	return entry;
}

void registry_forget(void)
{
	struct entry *entry;

	while ((entry = entries)) {
		entries = entry->next;
		free((char *)entry->config.socket);
		free(entry);
	}
	phase = 0;
	phase_bytes = planned_bytes = 0;
}

void registry_next_phase(void)
{
	phase++;
	phase_bytes = 0;
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

static void merge(struct entry *entry, const struct device_config *config)
{
	struct device_config *merged = &entry->config;

	if (config->depth > merged->depth)
		merged->depth = config->depth;
	if (config->max_request_bytes > merged->max_request_bytes)
		merged->max_request_bytes = config->max_request_bytes;
	if (config->num_queues > merged->num_queues)
		merged->num_queues = config->num_queues;
	if (entry->phase != phase)
		entry->jobs = 0;
	entry->phase = phase;
	entry->jobs++;
	if ((unsigned int)entry->jobs > merged->num_queues)
		merged->num_queues = (unsigned int)entry->jobs;
}

static int plan_locked(const struct device_config *config)
{
	struct entry *entry = find(config);
	const char *option;

	if (!entry)
		entry = add(config);
	if (!entry)
		return error_set(ENOMEM, "%s: no memory for a plan", config->socket);
	option = disagreement(&entry->config, config);
	if (option)
		return error_set(EINVAL, "%s: jobs that share a connection "
			"(thread=1) must agree on %s", config->socket, option);
	merge(entry, config);
	planned_hugepages = config->hugepages;
	phase_bytes += config->memory_bytes + RING_ROOM_BYTES +
		       config->depth * RING_ROOM_BYTES_A_REQUEST;
	if (phase_bytes > planned_bytes)
		planned_bytes = phase_bytes;
	return entry->jobs;
}

int registry_plan(const struct device_config *config)
{
	int jobs;

	pthread_mutex_lock(&lock);
	jobs = plan_locked(config);
	pthread_mutex_unlock(&lock);
	return jobs;
}

bool registry_knows(const struct device_config *config)
{
	bool is_known;

	pthread_mutex_lock(&lock);
	is_known = find(config);
	pthread_mutex_unlock(&lock);
	return is_known;
}

/* The memory comes with the first device and goes with the last. */
static int open_memory(void)
{
	int code = 0;

	if (open_devices)
		return 0;
	memory_init(&memory, planned_hugepages);
	code = memory_add_region(&memory, planned_bytes);
	if (code < 0) {
		memory_close(&memory);
		return code;
	}
	return 0;
}

static void close_memory(void)
{
	if (!open_devices)
		memory_close(&memory);
}

static int open_device(struct entry *entry)
{
	int code = open_memory();

	if (code)
		return code;
	entry->config.memory = &memory;
	code = device_open(&entry->device, &entry->config);
	if (!code) {
		code = device_start(entry->device);
		if (code)
			device_close(entry->device);
	}
	if (code)
		close_memory();
	else
		open_devices++;
	return code;
}

int registry_acquire(const struct device_config *config, struct device **dev)
{
	struct entry *entry;
	int code = 0;

	pthread_mutex_lock(&lock);
	entry = find(config);
	if (!entry)
		code = error_set(ENODEV, "%s: no job was planned on it",
				 config->socket);
	else if (!entry->users)
		code = open_device(entry);
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

void registry_release(struct device *dev)
{
	struct entry *entry;

	pthread_mutex_lock(&lock);
	entry = find_device(dev);
	if (--entry->users == 0) {
		device_close(dev);
		entry->device = NULL;
		open_devices--;
		close_memory();
	}
	pthread_mutex_unlock(&lock);
}
