/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device has: its description, the queues that callers claim, and the memory
 * that they allocate; see device/device.h. Opening and closing are in
 * device/open_close.c. When the back-end hangs up, the device cannot be used any
 * more. A reconnect would begin in device_is_gone().
 */
#include "device/device.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "device/execute_one.h"

/* How long a logical unit may take to be reset. */
#define RESET_TIMEOUT_MS 1000

void device_describe(const struct device *dev, struct device_info *info)
{
	*info = dev->disk.info;
	if (dev->is_capacity_assumed)
		info->capacity_bytes = 0;
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

	/* A device that has found no disk has no list. */
	if (count)
		memcpy(list, dev->disks, count * sizeof(*list));
	return dev->num_disks;
}

/* Task management uses the control queue, one request at a time. */
int device_reset_unit(struct device *dev)
{
	struct request *req = NULL;
	int code;

	if (dev->disk.info.type != DEVICE_SCSI)
		return error_set(EOPNOTSUPP, "%s: virtio-blk cannot abort the "
				 "requests in flight", dev->vu.path);
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
	pthread_mutex_lock(&dev->lock);
	if (!dev->disk.info.capacity_bytes)
		dev->is_capacity_assumed = true;
	if (dev->is_capacity_assumed &&
	    capacity_bytes > dev->disk.info.capacity_bytes)
		dev->disk.info.capacity_bytes = capacity_bytes;
	disk_set_end(&dev->disk, dev->disk.info.capacity_bytes);
	pthread_mutex_unlock(&dev->lock);
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
			"at once, or %s (the back-end has %u)", dev->vu.path,
			dev->num_queues,
			dev->num_queues < dev->disk.info.max_queues ?
			"raise num_queues" : "start the back-end with more "
				"(pyfio-virtio backend start --queues)",
			dev->disk.info.max_queues);
	return queue;
}

void device_release_queue(struct device *dev, struct queue *queue)
{
	pthread_mutex_lock(&dev->lock);
	dev->is_claimed[queue->index - dev->first_queue] = false;
	pthread_mutex_unlock(&dev->lock);
}

/* ---- memory -------------------------------------------------------------- */

int device_share_memory(struct device *dev)
{
	int code;

	pthread_mutex_lock(&dev->lock);
	vhost_user_set_timeout(&dev->vu, dev->config.connect_timeout_ms);
	code = share_memory(dev);
	pthread_mutex_unlock(&dev->lock);
	return code;
}

/* Allocates only from regions that this device's back-end knows, because other
 * devices may have added regions to the memory. */
static void *alloc_known(struct device *dev, size_t size_bytes, size_t alignment)
{
	uint32_t regions = __atomic_load_n(&dev->shared.regions, __ATOMIC_ACQUIRE);

	return memory_alloc_in(dev->memory, size_bytes, alignment, regions);
}

/* Doubles the memory, because the number of regions is limited. If that is too much
 * for us or for the back-end, adds only what is needed. */
static int grow(struct device *dev, size_t needed_bytes)
{
	size_t present_bytes = memory_bytes(dev->memory);
	int code = -ENOMEM;

	if (needed_bytes < present_bytes)
		code = share_new_region(dev, present_bytes);
	if (code == -ENOMEM || code == -EREMOTEIO)
		code = share_new_region(dev, needed_bytes);
	return code;
}

/* One thread at a time adds memory. So first look again: another thread, or another
 * device of the same memory, may have added some in the meantime. */
static void *grow_and_alloc(struct device *dev, size_t size_bytes, size_t alignment)
{
	void *address = NULL;

	pthread_mutex_lock(&dev->lock);
	vhost_user_set_timeout(&dev->vu, dev->config.connect_timeout_ms);
	if (!share_memory(dev)) {
		address = alloc_known(dev, size_bytes, alignment);
		if (!address && !grow(dev, size_bytes + alignment))
			address = alloc_known(dev, size_bytes, alignment);
	}
	pthread_mutex_unlock(&dev->lock);
	return address;
}

/* Only then does the back-end know any memory. */
static int check_started(const struct device *dev)
{
	if (dev->num_queues)
		return 0;
	return error_set(EINVAL, "%s: the device is not started", dev->vu.path);
}

#define DEFAULT_ALIGNMENT 4096

static int check_size(size_t size_bytes, size_t alignment)
{
	if (alignment & (alignment - 1))
		return error_set(EINVAL, "an alignment of %zu bytes is not a "
				 "power of two", alignment);
	if ((size_bytes | alignment) > SIZE_MAX / 4)
		return error_set(ENOMEM, "there is no memory for %zu bytes",
				 size_bytes);
	return 0;
}

void *device_alloc(struct device *dev, size_t size_bytes, size_t alignment)
{
	void *address;

	if (!alignment)
		alignment = DEFAULT_ALIGNMENT;
	if (check_size(size_bytes, alignment) || check_started(dev))
		return NULL;
	address = alloc_known(dev, size_bytes, alignment);
	return address ? address : grow_and_alloc(dev, size_bytes, alignment);
}

int device_register_memory(struct device *dev, void *address, size_t size_bytes,
			   int fd, uint64_t file_offset_bytes)
{
	int code = check_started(dev);

	if (code)
		return code;
	pthread_mutex_lock(&dev->lock);
	vhost_user_set_timeout(&dev->vu, dev->config.connect_timeout_ms);
	code = share_foreign(dev, address, size_bytes, fd, file_offset_bytes);
	pthread_mutex_unlock(&dev->lock);
	return code;
}

int device_unregister_memory(struct device *dev, void *address)
{
	int code = check_started(dev);

	if (code)
		return code;
	pthread_mutex_lock(&dev->lock);
	vhost_user_set_timeout(&dev->vu, dev->config.connect_timeout_ms);
	code = share_forget_foreign(dev, address);
	pthread_mutex_unlock(&dev->lock);
	return code;
}

bool device_may_learn(const struct device *dev)
{
	return share_lacks_some(dev);
}

/* If the back-end does not take the region, data in it is copied, which is no failure. */
void device_learn(struct device *dev, const void *address, size_t size_bytes)
{
	struct error_kept kept;

	if (!share_could_learn(dev, address, size_bytes))
		return;
	kept = error_keep();
	pthread_mutex_lock(&dev->lock);
	vhost_user_set_timeout(&dev->vu, dev->config.connect_timeout_ms);
	share_learn(dev, address, size_bytes);
	pthread_mutex_unlock(&dev->lock);
	error_restore(&kept);
}

bool device_lend(struct device *dev, const void *address, size_t size_bytes, uint32_t *lent)
{
	return share_lend(dev, address, size_bytes, lent);
}

void device_return(struct device *dev, uint32_t lent)
{
	foreign_return(&dev->shared.foreign, lent);
}

void device_free(struct device *dev, void *address)
{
	memory_free(dev->memory, address);
}

/* Tells the back-end nothing, because it serves the other process. */
void device_forget_inherited(struct device *dev)
{
	for (unsigned int i = 0; i < dev->num_open; i++) {
		close(dev->queues[i].kick_fd);
		close(dev->queues[i].call_fd);
	}
	inflight_drop(dev);
	changes_close(dev);
	close(dev->vu.fd);
}

bool device_takes_memory_once(const struct device_info *info)
{
	return !(info->protocol >> VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS & 1);
}

bool device_is_gone(struct device *dev)
{
	if (!vhost_user_is_gone(&dev->vu))
		return false;
	error_set(EIO, "the back-end hung up, so its requests in flight fail");
	return true;
}
