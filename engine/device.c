/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device has: its description, queues to hand out, memory to allocate;
 * see device.h. How it comes and goes is in lifecycle.c. A back-end that hangs
 * up ends the device: reconnecting would begin in device_is_gone().
 */
#include "device.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "execute.h"
#include "share.h"

/* How long a logical unit may take to be reset. */
#define RESET_TIMEOUT_MS 1000

void device_describe(const struct device *dev, struct device_info *info)
{
	*info = dev->disk.info;
	info->num_queues = dev->num_queues;
	info->hugepages_short = dev->memory->fell_back;
	if (dev->num_queues) {
		info->queue_size = dev->queues[dev->first_queue].vq.shape.size;
		info->page_size = (unsigned int)dev->memory->regions[0].page_bytes;
	}
}

unsigned int device_list_disks(const struct device *dev,
			       struct disk_summary *list, unsigned int max)
{
	unsigned int count = dev->num_disks < max ? dev->num_disks : max;

	memcpy(list, dev->disks, count * sizeof(*list));
	return dev->num_disks;
}

/* Task management goes over the control queue, one at a time. */
int device_reset_unit(struct device *dev)
{
	struct request *req = NULL;
	int code;

	if (dev->disk.info.type != DEVICE_SCSI)
		return error_set(EOPNOTSUPP, "%s: virtio-blk cannot abort what "
				 "is in flight", dev->vu.path);
	pthread_mutex_lock(&dev->lock);
	if (!dev->queues[0].abandoned)
		req = queue_get(&dev->queues[0]);
	if (req) {
		req->type = REQUEST_RESET_UNIT;
		req->offset_bytes = req->left_bytes = 0;
		code = execute(&dev->queues[0], req, dev->vu.fd,
			       RESET_TIMEOUT_MS);
	} else {
		code = error_set(ETIMEDOUT, "%s: the control queue is stuck",
				 dev->vu.path);
	}
	pthread_mutex_unlock(&dev->lock);
	return code;
}

void device_assume_capacity(struct device *dev, uint64_t capacity_bytes)
{
	dev->disk.info.capacity_bytes = capacity_bytes;
}

/* ---- queues -------------------------------------------------------------- */

struct queue *device_claim_queue(struct device *dev)
{
	struct queue *queue = NULL;

	pthread_mutex_lock(&dev->lock);
	for (unsigned int i = 0; i < dev->num_queues && !queue; i++) {
		struct queue *candidate = &dev->queues[dev->first_queue + i];

		if (dev->is_claimed[i] || candidate->abandoned)
			continue;
		dev->is_claimed[i] = true;
		queue = candidate;
	}
	pthread_mutex_unlock(&dev->lock);
	if (!queue)
		error_set(EBUSY, "%s: all %u queues are in use: run fewer jobs "
			"at once, or raise num_queues (the back-end has %u)",
			dev->vu.path, dev->num_queues, dev->disk.info.max_queues);
	return queue;
}

void device_release_queue(struct device *dev, struct queue *queue)
{
	pthread_mutex_lock(&dev->lock);
	dev->is_claimed[queue->index - dev->first_queue] = false;
	pthread_mutex_unlock(&dev->lock);
}

/* ---- memory -------------------------------------------------------------- */

static int share_locked(struct device *dev)
{
	vhost_user_set_timeout(&dev->vu, dev->config.connect_timeout_ms);
	return share_more(dev);
}

int device_share_memory(struct device *dev)
{
	int code;

	pthread_mutex_lock(&dev->lock);
	code = share_locked(dev);
	pthread_mutex_unlock(&dev->lock);
	return code;
}

/* As much again as there is, since regions are few; or, if that is too much,
 * what is needed. */
static int add_region(struct device *dev, size_t needed_bytes)
{
	size_t present_bytes = memory_own_bytes(dev->memory);

	if (needed_bytes < present_bytes &&
	    memory_add_region(dev->memory, present_bytes) >= 0)
		return 0;
	return memory_add_region(dev->memory, needed_bytes);
}

/* One thread grows the memory; those who waited for it find room then. */
static void *grow_and_alloc(struct device *dev, size_t size_bytes, size_t alignment)
{
	void *address;

	pthread_mutex_lock(&dev->lock);
	address = memory_alloc(dev->memory, size_bytes, alignment);
	if (!address && !share_check_growth(dev) &&
	    add_region(dev, size_bytes + alignment) >= 0)
		address = memory_alloc(dev->memory, size_bytes, alignment);
	pthread_mutex_unlock(&dev->lock);
	return address;
}

void *device_alloc(struct device *dev, size_t size_bytes, size_t alignment)
{
	void *address = memory_alloc(dev->memory, size_bytes, alignment);

	if (!address && (size_bytes | alignment) > SIZE_MAX / 4)
		error_set(ENOMEM, "there is no memory for %zu bytes", size_bytes);
	else if (!address)
		address = grow_and_alloc(dev, size_bytes, alignment);
	if (!address || device_share_memory(dev)) {
		memory_free(dev->memory, address);
		return NULL;
	}
	return address;
}

int device_register_memory(struct device *dev, void *address, size_t size_bytes,
			   int fd, uint64_t file_offset_bytes)
{
	struct memory_region region = { .address = address,
					.size_bytes = size_bytes,
					.fd = fd,
					.file_offset_bytes = file_offset_bytes };
	int code;

	pthread_mutex_lock(&dev->lock);
	code = share_check_growth(dev);
	if (!code)
		code = memory_add_foreign(dev->memory, &region);
	if (code >= 0)
		code = share_locked(dev);
	pthread_mutex_unlock(&dev->lock);
	return code;
}

void device_free(struct device *dev, void *address)
{
	memory_free(dev->memory, address);
}

bool device_is_gone(struct device *dev)
{
	if (!vhost_user_is_gone(&dev->vu))
		return false;
	error_set(EIO, "the back-end hung up: its requests in flight fail");
	return true;
}
