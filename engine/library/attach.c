/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens devices for many threads and closes them: device_attach() and
 * device_detach() of api.h. One thread calls, and no other thread uses the device
 * during these calls.
 */
#include <errno.h>
#include <stdlib.h>

#include "library/blocking.h"
#include "base/clock.h"
#include "base/error.h"

#define DEFAULT_REQUEST_TIMEOUT_MS 30000

/* More than the rings need with usual depths. */
#define RING_ROOM_BYTES (1u << 20)

/* The size of a bounce buffer, unless a block is larger. */
#define SLOT_BYTES (64u << 10)

static int check_wait(const struct attach_options *options)
{
	if (!wait_name(options->wait))
		return error_set(EINVAL, "%d is not a way of waiting: they go from %d "
				 "(default) to %d (adaptive)", options->wait,
				 WAIT_DEFAULT, WAIT_ADAPTIVE);
	if (options->sleepy_poll_us > WAIT_MAX_SLEEPY_POLL_US)
		return error_set(EINVAL, "sleepy_poll_us=%u: it must be from 0 to %d",
				 options->sleepy_poll_us, WAIT_MAX_SLEEPY_POLL_US);
	return 0;
}

static uint64_t slot_bytes(const struct device *dev)
{
	uint64_t block_size = dev->disk.info.block_size;

	return block_size > SLOT_BYTES ? block_size : SLOT_BYTES;
}

/* Bounce buffers lie in the first region, together with the rings. */
static int plan_slots(struct device *dev)
{
	struct device_config *config = &dev->config;
	size_t bytes;

	if (!__builtin_mul_overflow(slot_bytes(dev), config->depth, &bytes) &&
	    !__builtin_mul_overflow(bytes, config->num_queues, &bytes) &&
	    !__builtin_add_overflow(bytes, config->memory_bytes, &bytes)) {
		config->memory_bytes = bytes;
		return 0;
	}
	return error_set(ENOMEM, "%s: there is no memory for %u queues, %u requests "
			 "in each, and %zu bytes more", dev->vu.path,
			 config->num_queues, config->depth, config->memory_bytes);
}

/* Memory that other devices have used may have no room any more. A back-end that takes
 * memory once must then be told of a further region together with the others. */
static int make_room(struct device *dev)
{
	size_t bytes;
	void *room;
	int index;

	if (!memory_num_regions(dev->memory) || !device_takes_memory_once(&dev->disk.info))
		return 0;
	if (__builtin_add_overflow(dev->config.memory_bytes, RING_ROOM_BYTES, &bytes))
		return 0; /* device_start() refuses it in words */
	room = memory_alloc(dev->memory, bytes, 4096);
	memory_free(dev->memory, room);
	index = room ? 0 : memory_add_region(dev->memory, bytes);
	return index < 0 ? index : 0;
}

/* A device that does not tell its ID can be used, so this is no failure. */
static void identify(struct device *dev)
{
	struct error_kept kept = error_keep();

	device_identify(dev);
	error_restore(&kept);
}

static int open_and_start(struct device **result, const struct device_config *config)
{
	struct device *dev = NULL;
	int code = device_open(&dev, config);

	if (code)
		return code;
	code = plan_slots(dev);
	if (!code)
		code = make_room(dev);
	if (!code)
		code = device_start(dev);
	if (!code)
		identify(dev);
	if (code)
		device_close(dev);
	else
		*result = dev;
	return code;
}

static int open_queues(struct device *dev, const struct attach_options *options)
{
	struct blocking *blocking = dev->blocking;
	enum wait_kind kind = (enum wait_kind)options->wait;
	unsigned int sleepy_poll_us = options->sleepy_poll_us;
	uint64_t size = slot_bytes(dev);
	uint64_t queue_bytes = size * dev->queues[dev->first_queue].vq.shape.num_chains;

	wait_choose(&kind, &sleepy_poll_us);
	blocking->slots = device_alloc(dev, queue_bytes * dev->num_queues, 4096);
	if (!blocking->slots)
		return -ENOMEM;
	while (blocking->num_queues < dev->num_queues) {
		unsigned int i = blocking->num_queues++;
		int code = shared_queue_open(&blocking->queues[i], dev,
					     &blocking->claims,
					     blocking->slots + i * queue_bytes, size);

		if (code)
			return code;
		blocking->queues[i].siblings = blocking->queues;
		blocking->queues[i].num_siblings = dev->num_queues;
		shared_queue_set_wait(&blocking->queues[i], kind, sleepy_poll_us,
				      blocking->timeout_ns);
	}
	return 0;
}

static int make_blocking(struct device *dev, const struct attach_options *options)
{
	unsigned int timeout_ms = options->request_timeout_ms;

	dev->blocking = calloc(1, sizeof(*dev->blocking) +
			       dev->num_queues * sizeof(dev->blocking->queues[0]));
	if (!dev->blocking)
		return error_set(ENOMEM, "%s: no memory for a device", dev->vu.path);
	claims_init(&dev->blocking->claims);
	dev->blocking->timeout_ns = NS_PER_MS *
		(timeout_ms ? timeout_ms : DEFAULT_REQUEST_TIMEOUT_MS);
	return open_queues(dev, options);
}

int device_attach(struct device **result, const struct device_config *config,
		  const struct attach_options *options)
{
	static const struct attach_options defaults;
	struct device *dev = NULL;
	int code;

	if (!options)
		options = &defaults;
	code = check_wait(options);
	if (!code)
		code = open_and_start(&dev, config);
	if (!code)
		code = make_blocking(dev, options);
	if (code)
		device_detach(dev);
	else
		*result = dev;
	return code;
}

void device_detach(struct device *dev)
{
	struct blocking *blocking = dev ? dev->blocking : NULL;
	struct error_kept kept = error_keep();
	bool is_stopped;

	if (blocking) {
		for (unsigned int i = 0; i < blocking->num_queues; i++)
			shared_queue_close(&blocking->queues[i]);
		claims_close(&blocking->claims);
		/* The memory may outlive the device, so its holds end here, and the
		 * bounce buffers are freed if the back-end cannot write to them. */
		is_stopped = device_stop(dev);
		memory_end_holds(dev->memory, dev, is_stopped);
		if (is_stopped)
			device_free(dev, blocking->slots);
	}
	device_close(dev);
	free(blocking);
	error_restore(&kept);
}
