/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens and closes a device: connect, negotiate, start, discover, stop, close.
 * Declared in api.h. Only the owner of the device calls these functions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "device/discover.h"
#include "base/error.h"
#include "device/negotiate.h"
#include "device/share_memory.h"
#include "device/start.h"

#define DEFAULT_DEPTH 128
#define DEFAULT_REQUEST_BYTES (1u << 20)
#define DEFAULT_CONNECT_TIMEOUT_MS 5000

/* How long a close waits for a back-end that does not answer. */
#define CLOSE_TIMEOUT_MS 1000

static void apply_defaults(struct device_config *config)
{
	if (!config->num_queues)
		config->num_queues = 1;
	if (!config->depth)
		config->depth = DEFAULT_DEPTH;
	if (!config->max_request_bytes)
		config->max_request_bytes = DEFAULT_REQUEST_BYTES;
	if (!config->connect_timeout_ms)
		config->connect_timeout_ms = DEFAULT_CONNECT_TIMEOUT_MS;
}

int device_open(struct device **result, const struct device_config *config)
{
	struct device *dev;
	int code;

	if (!config || !config->socket)
		return error_set(EINVAL, "no socket is given: set the path of the "
				 "back-end's Unix socket");
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return error_set(ENOMEM, "%s: no memory for a device",
				 config->socket);
	dev->config = *config;
	dev->inflight.fd = -1;
	apply_defaults(&dev->config);
	pthread_mutex_init(&dev->lock, NULL);
	memory_init(&dev->own_memory, config->hugepages);
	memory_init(&dev->early_memory, config->hugepages);
	dev->memory = config->memory ? config->memory : &dev->own_memory;
	code = vhost_user_connect(&dev->vu, config->socket,
				  dev->config.connect_timeout_ms);
	dev->config.socket = dev->vu.path;
	if (!code)
		code = negotiate(dev);
	if (code) {
		error_name(dev->vu.path);
		device_close(dev);
		return code;
	}
	dev->negotiated = dev->disk;
	*result = dev;
	return 0;
}

/* The back-end keeps what it knows of the connection. The rings are set up again, as
 * after the reset of a guest, in the memory of config. */
int device_reopen(struct device *dev, const struct device_config *config)
{
	int code;

	/* own_memory, which the back-end may still know, lives as long as dev. */
	share_leave(dev);
	dev->disk = dev->negotiated;
	dev->config = *config;
	dev->config.socket = dev->vu.path;
	apply_defaults(&dev->config);
	vhost_user_set_timeout(&dev->vu, dev->config.connect_timeout_ms);
	dev->memory = config->memory ? config->memory : &dev->own_memory;
	dev->num_disks = 0;
	code = negotiate_again(dev);
	if (code) {
		error_name(dev->vu.path);
		device_close(dev);
	}
	return code;
}

static int find_disk(struct device *dev)
{
	int code;

	dev->disks = calloc(DEVICE_MAX_DISKS, sizeof(*dev->disks));
	if (!dev->disks)
		return error_set(ENOMEM, "%s: no memory for a list of disks",
				 dev->vu.path);
	code = discover_scsi(dev);
	return code ? code : start_limit_parts(dev);
}

int device_start(struct device *dev)
{
	int code;

	vhost_user_set_timeout(&dev->vu, dev->config.connect_timeout_ms);
	code = start_queues(dev);
	if (!code && dev->disk.info.type == DEVICE_SCSI)
		code = find_disk(dev);
	if (code)
		error_name(dev->vu.path);
	return code;
}

void device_identify(struct device *dev)
{
	if (dev->disk.info.type == DEVICE_BLK && !dev->blocking)
		discover_blk_id(dev);
}

bool device_stop(struct device *dev)
{
	vhost_user_set_timeout(&dev->vu, CLOSE_TIMEOUT_MS);
	stop_queues(dev);
	return !dev->vu.is_dead;
}

/* Keeps the error sentence, because callers close a device after a failure. */
void device_close(struct device *dev)
{
	struct error_kept kept = error_keep();

	if (!dev)
		return;
	device_stop(dev);
	vhost_user_close(&dev->vu);
	foreign_close(&dev->shared.foreign);
	changes_close(dev);
	memory_close(&dev->own_memory);
	memory_close(&dev->early_memory);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
	error_restore(&kept);
}
