/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections that are kept for jobs; see fio/kept.h. */
#include "fio/kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

/* A device that was described. It stays in the list until fio ends. */
struct kept {
	struct kept *next;
	struct device_config config; /* socket is ours */
	struct device_info info;
	struct device *device;       /* NULL: a job took it, or it was not kept */
	bool is_contended;           /* jobs make further connections to the socket */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept *all;

/* ---- the list ------------------------------------------------------------- */

/* True if the connection was negotiated as config wants. */
static bool fits(const struct kept *kept, const struct device_config *config)
{
	const struct device_config *a = &kept->config;

	return !strcmp(a->socket, config->socket) && a->type == config->type &&
	       a->indirect == config->indirect &&
	       a->event_idx == config->event_idx &&
	       a->scsi_address_set == config->scsi_address_set &&
	       a->scsi_target == config->scsi_target &&
	       a->scsi_lun == config->scsi_lun;
}

static struct kept *find(const struct device_config *config)
{
	struct kept *kept = all;

	while (kept && (!kept->device || !fits(kept, config)))
		kept = kept->next;
	return kept;
}

/* A connection that cannot be listed is not kept. */
static void add(const struct device_config *config, const struct device_info *info,
		struct device *dev)
{
	struct kept *kept = calloc(1, sizeof(*kept));
	char *socket = strdup(config->socket);

	if (!kept || !socket) {
		free(kept);
		free(socket);
		device_close(dev);
		return;
	}
	*kept = (struct kept){ .config = *config, .info = *info, .device = dev };
	kept->config.socket = socket;
	pthread_mutex_lock(&lock);
	kept->next = all;
	__atomic_store_n(&all, kept, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&lock);
}

static struct device *take_from(struct kept *kept)
{
	struct device *dev = kept->device;

	__atomic_store_n(&kept->device, NULL, __ATOMIC_SEQ_CST);
	return dev;
}

/* NULL if there is none, or if the back-end has ended it. */
static struct device *take(const struct device_config *config)
{
	struct device *dev = NULL;
	struct kept *kept;

	pthread_mutex_lock(&lock);
	kept = find(config);
	if (kept)
		dev = take_from(kept);
	pthread_mutex_unlock(&lock);
	if (!dev || !device_is_gone(dev))
		return dev;
	device_close(dev);
	return NULL;
}

/* ---- use ------------------------------------------------------------------ */

/* A disk behind a virtio-scsi controller answers only once queues run. */
static int describe(struct device *dev, struct device_info *info)
{
	int code = 0;

	device_describe(dev, info);
	if (info->type != DEVICE_SCSI)
		return 0;
	code = device_start(dev);
	device_describe(dev, info);
	if (!code && !device_stop(dev))
		code = error_set(EIO, "%s: the back-end does not stop its queues",
				 dev->vu.path);
	return code;
}

static bool describe_from_kept(const struct device_config *config,
			       struct device_info *info)
{
	struct kept *kept;

	pthread_mutex_lock(&lock);
	kept = find(config);
	if (kept)
		*info = kept->info;
	pthread_mutex_unlock(&lock);
	return kept != NULL;
}

/* Ends the connections to the socket that were kept, because jobs make further ones and
 * many back-ends serve one client at a time. Returns true if the socket is in the list. */
static bool give_up(const char *socket)
{
	bool is_listed = false;

	pthread_mutex_lock(&lock);
	for (struct kept *kept = all; kept; kept = kept->next) {
		if (strcmp(kept->config.socket, socket))
			continue;
		is_listed = true;
		kept->is_contended = true;
		device_close(take_from(kept));
	}
	pthread_mutex_unlock(&lock);
	return is_listed;
}

/* The connection is kept only if it is the first one to its socket. */
static int connect_anew(const struct device_config *config, bool is_for_job,
			struct device_info *info)
{
	struct device_config small = *config;
	struct device *dev = NULL;
	bool is_kept = !give_up(config->socket) && is_for_job;
	int code;

	small.num_queues = 1;
	small.memory_bytes = 1 << 16;
	code = device_open(&dev, &small);
	if (!code)
		code = describe(dev, info);
	if (code || !is_kept) {
		device_close(dev);
		dev = NULL;
	}
	if (!code)
		add(config, info, dev);
	return code;
}

int kept_describe(const struct device_config *config, bool is_for_job,
		  struct device_info *info)
{
	if (!describe_from_kept(config, info))
		return connect_anew(config, is_for_job, info);
	if (!is_for_job)
		give_up(config->socket);
	return 0;
}

int kept_open(struct device **dev, const struct device_config *config)
{
	int code;

	*dev = take(config);
	if (*dev)
		code = device_reopen(*dev, config);
	else
		code = device_open(dev, config);
	if (code)
		*dev = NULL;
	else if (!kept_has_reached(config->socket))
		add(config, &(struct device_info){ 0 }, NULL);
	return code;
}

void kept_drop(const char *socket)
{
	pthread_mutex_lock(&lock);
	for (struct kept *kept = all; kept; kept = kept->next)
		if (!strcmp(kept->config.socket, socket))
			device_close(take_from(kept));
	pthread_mutex_unlock(&lock);
}

void kept_begin_process(bool is_only)
{
	pthread_mutex_init(&lock, NULL);
	for (struct kept *kept = all; kept && !is_only; kept = kept->next) {
		if (kept->device)
			device_forget_inherited(kept->device);
		kept->device = NULL;
	}
}

static bool has(const char *socket, bool only_contended)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (struct kept *kept = all; kept; kept = kept->next)
		found |= (kept->is_contended || !only_contended) &&
			 !strcmp(kept->config.socket, socket);
	pthread_mutex_unlock(&lock);
	return found;
}

bool kept_has_reached(const char *socket)
{
	return has(socket, false);
}

bool kept_is_contended(const char *socket)
{
	return has(socket, true);
}
