/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts and stops the rings of a device; see device/start.h. */
#include "device/start.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "base/error.h"
#include "base/eventfd.h"
#include "base/remedies.h"
#include "disk/scsi.h"
#include "device/share_memory.h"

/* Every known back-end supports this; it is the limit of libvhost-user and DPDK. */
#define MAX_AUTO_QUEUE_SIZE 1024
#define MIN_AUTO_QUEUE_SIZE 128

/* A chain may be as long as the largest ring (2.7.5.3.1). */
#define MAX_SEGMENTS (32768 - OVERHEAD_DESCRIPTORS)

/* Each chain has a descriptor for the request and one for the response. */
#define OVERHEAD_DESCRIPTORS 2

static bool has(uint64_t bits, unsigned int bit)
{
	return bits >> bit & 1;
}

/* ---- shapes ---------------------------------------------------------------- */

/* The number of data segments that the largest request needs in one part. */
static uint32_t segments_needed(const struct device *dev)
{
	const struct disk *disk = &dev->disk;
	uint64_t bytes = dev->config.max_request_bytes, segments;

	if (bytes > disk->max_part_bytes)
		bytes = disk->max_part_bytes;
	segments = (bytes + disk->max_segment_bytes - 1) / disk->max_segment_bytes;
	return segments > MAX_SEGMENTS ? MAX_SEGMENTS : (uint32_t)segments;
}

static unsigned int auto_queue_size(uint64_t entries)
{
	unsigned int size = MIN_AUTO_QUEUE_SIZE;

	while (size < entries && size < MAX_AUTO_QUEUE_SIZE)
		size *= 2;
	return size;
}

/* No part may need more segments than a chain has room for. */
static int limit_parts(struct disk *disk, uint16_t chain_length)
{
	uint64_t segments = chain_length - OVERHEAD_DESCRIPTORS;
	uint64_t room = segments * disk->max_segment_bytes &
			~(uint64_t)(disk->info.block_size - 1);

	if (room < disk->max_part_bytes)
		disk->max_part_bytes = room;
	if (disk->max_part_bytes)
		return 0;
	return error_set(EPROTO, "segments of %u bytes (size_max) and a queue "
		"too small for more than %u of them leave no room for one "
		"block of %u bytes", disk->max_segment_bytes,
		(unsigned int)segments, disk->info.block_size);
}

/* A chain longer than the ring is forbidden (2.7.5.3.1), even if it is indirect, so a
 * larger request is split into parts. */
static int choose_shape(struct device *dev, struct virtq_shape *shape)
{
	const struct device_config *config = &dev->config;
	uint64_t features = dev->disk.info.features;
	uint32_t chain_length = segments_needed(dev) + OVERHEAD_DESCRIPTORS;
	uint64_t entries = (uint64_t)config->depth * chain_length;

	shape->indirect = has(features, VIRTIO_RING_F_INDIRECT_DESC);
	shape->event_idx = has(features, VIRTIO_RING_F_EVENT_IDX);
	shape->request_bytes = dev->commands->request_bytes;
	shape->response_bytes = dev->commands->response_bytes;
	if (shape->indirect)
		entries = config->depth;
	shape->size = (uint16_t)(config->queue_size ? config->queue_size :
				 auto_queue_size(entries));
	shape->chain_length = (uint16_t)(chain_length < shape->size ?
					 chain_length : shape->size);
	shape->num_chains = virtq_max_chains(shape->size, shape->chain_length,
					     shape->indirect);
	if (shape->num_chains > config->depth)
		shape->num_chains = (uint16_t)config->depth;
	return limit_parts(&dev->disk, shape->chain_length);
}

/* The control and event queues of virtio-scsi have a few short chains. They must
 * exist, because some back-ends serve a queue only if all queues before it exist. */
static void choose_fixed_shape(const struct device *dev, struct virtq_shape *shape)
{
	*shape = (struct virtq_shape){
		.size = MIN_AUTO_QUEUE_SIZE,
		.num_chains = 4,
		.chain_length = 2,
		.request_bytes = scsi_control_command_set.request_bytes,
		.response_bytes = scsi_control_command_set.response_bytes,
		.event_idx = has(dev->disk.info.features, VIRTIO_RING_F_EVENT_IDX),
	};
}

static int check_config(const struct device *dev)
{
	unsigned int size = dev->config.queue_size;

	if (size && (size < 4 || size > 32768 || (size & (size - 1))))
		return error_set(EINVAL, "%s: queue_size=%u: it must be a power "
			"of two from 4 to 32768 (most back-ends take 1024 at "
			"most)", dev->vu.path, size);
	if (dev->config.num_queues > dev->disk.info.max_queues)
		return error_set(EINVAL, "%s: %u queues are wanted and the "
			"back-end has %u: run fewer jobs on this socket, or "
			"start the back-end with more queues "
			"(pyfio-virtio backend start --queues %u)",
			dev->vu.path, dev->config.num_queues,
			dev->disk.info.max_queues, dev->config.num_queues);
	return 0;
}

/* ---- memory ---------------------------------------------------------------- */

/* Makes room for the rings. If the memory has none yet, a new region gets room for
 * the I/O buffers as well, because some back-ends take only a few regions. */
static int share_room(struct device *dev, const struct virtq_shape *fixed,
		      const struct virtq_shape *shape)
{
	size_t ring_bytes = dev->first_queue * virtq_bytes(fixed) +
			    dev->config.num_queues * virtq_bytes(shape);
	void *address = memory_alloc(dev->memory, ring_bytes, 4096);
	size_t all_bytes;

	/* A sum that overflows is refused like one that does not fit into memory. */
	if (__builtin_add_overflow(ring_bytes, dev->config.memory_bytes, &all_bytes))
		all_bytes = SIZE_MAX;
	memory_free(dev->memory, address);
	return address ? share_memory(dev) : share_new_region(dev, all_bytes);
}

/* ---- rings ----------------------------------------------------------------- */

static int init_queue(struct device *dev, struct queue *queue,
		      const struct command_set *commands,
		      const struct virtq_shape *shape)
{
	size_t bytes = virtq_bytes(shape);
	void *memory = memory_alloc_in(dev->memory, bytes, 4096,
				       dev->shared.regions);
	int code;

	if (!memory)
		return error_set(ENOMEM, "%s: no shared memory left for a "
			"queue", dev->vu.path);
	memset(memory, 0, bytes);
	code = queue_init(queue, &dev->disk, commands, shape, memory);
	/* The memory may outlive the device, and the back-end does not know the ring. */
	if (code)
		memory_free(dev->memory, memory);
	return code;
}

/* All sizes come before everything else, because some back-ends end if they get a record
 * of the requests in flight of a ring that they do not know yet. */
int start_sizes(struct device *dev)
{
	int code = 0;

	for (unsigned int i = 0; !code && i < dev->num_open; i++)
		code = vhost_user_set_vring_num(&dev->vu, dev->queues[i].index,
						dev->queues[i].vq.shape.size);
	return code;
}

/* Every back-end accepts this order: CALL comes before KICK, and KICK is last. */
static int start_ring(struct device *dev, struct queue *queue, uint16_t base)
{
	struct vhost_user *vu = &dev->vu;
	uint32_t index = queue->index;
	struct vhost_user_vring_addr addr = {
		.index = index,
		.descriptor = (uintptr_t)queue->vq.desc,
		.available = (uintptr_t)queue->vq.avail,
		.used = (uintptr_t)queue->vq.used,
	};
	int code = vhost_user_set_vring_base(vu, index, base);

	if (!code)
		code = vhost_user_set_vring_addr(vu, &addr);
	if (!code)
		code = vhost_user_set_vring_call(vu, index, queue->call_fd);
	if (!code)
		code = vhost_user_set_vring_kick(vu, index, queue->kick_fd);
	return code;
}

static int enable_ring(struct device *dev, const struct queue *queue)
{
	if (!has(dev->disk.info.features, VHOST_USER_F_PROTOCOL_FEATURES))
		return 0;
	return vhost_user_set_vring_enable(&dev->vu, queue->index, true);
}

static int start_rings(struct device *dev)
{
	int code = 0;

	for (unsigned int i = 0; !code && i < dev->num_open; i++)
		code = start_ring(dev, &dev->queues[i], 0);
	for (unsigned int i = 0; !code && i < dev->num_open; i++)
		code = enable_ring(dev, &dev->queues[i]);
	return code;
}

/* A ring starts at its first kick, and a kick that overtakes ENABLE can be lost. If
 * messages are not acknowledged, a request with an answer shows that ENABLE took
 * effect. */
static int confirm_enable(struct device *dev)
{
	uint64_t ignored;

	if (has(dev->vu.protocol, VHOST_USER_PROTOCOL_F_REPLY_ACK))
		return 0;
	return vhost_user_get_features(&dev->vu, &ignored);
}

static int kick_rings(struct device *dev)
{
	int code = confirm_enable(dev);

	for (unsigned int i = 0; !code && i < dev->num_open; i++)
		code = eventfd_kick(dev->queues[i].kick_fd);
	return code;
}

int start_queue(struct device *dev, struct queue *queue, uint16_t base)
{
	int code = start_ring(dev, queue, base);

	if (!code)
		code = enable_ring(dev, queue);
	if (!code)
		code = confirm_enable(dev);
	return code ? code : eventfd_kick(queue->kick_fd);
}

static int make_queues(struct device *dev, const struct virtq_shape *fixed,
		       const struct virtq_shape *shape)
{
	unsigned int count = dev->first_queue + dev->config.num_queues;
	int code = 0;

	dev->queues = calloc(count, sizeof(*dev->queues));
	dev->is_claimed = calloc(dev->config.num_queues, sizeof(*dev->is_claimed));
	if (!dev->queues || !dev->is_claimed)
		return error_set(ENOMEM, "%s: no memory for %u queues",
				 dev->vu.path, count);
	for (unsigned int i = 0; !code && i < count; i++) {
		bool is_fixed = i < dev->first_queue;

		code = init_queue(dev, &dev->queues[i],
				  is_fixed ? &scsi_control_command_set : dev->commands,
				  is_fixed ? fixed : shape);
		if (code)
			break;
		dev->queues[i].index = i;
		dev->queues[i].generation = dev->reconnect.generation;
		dev->num_open = i + 1;
	}
	return code;
}

/* ---- status (virtio 1.2, 2.1 and 3.1.1) ------------------------------------ */

static int add_status(struct device *dev, uint8_t status)
{
	if (!has(dev->vu.protocol, VHOST_USER_PROTOCOL_F_STATUS))
		return 0;
	return vhost_user_set_status(&dev->vu, status);
}

/* We set neither FAILED nor NEEDS_RESET, so the device cannot be used with them. */
static int check_status(const struct device *dev, uint8_t status)
{
	if (!(status & VIRTIO_CONFIG_S_FEATURES_OK))
		return error_set(EREMOTEIO, "%s: the back-end does not accept "
			"features 0x%llx", dev->vu.path,
			(unsigned long long)dev->disk.info.features);
	if (status & (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED))
		return error_set(EREMOTEIO, "%s: the back-end says that the device has "
			"failed (status 0x%02x): restart the back-end", dev->vu.path,
			status);
	return 0;
}

int start_agree(struct device *dev)
{
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	int code = add_status(dev, status);

	if (!code)
		code = vhost_user_set_features(&dev->vu, dev->disk.info.features);
	if (!code)
		code = add_status(dev, status | VIRTIO_CONFIG_S_FEATURES_OK);
	if (code || !has(dev->vu.protocol, VHOST_USER_PROTOCOL_F_STATUS))
		return code;
	code = vhost_user_get_status(&dev->vu, &status);
	return code ? code : check_status(dev, status);
}

/* A back-end seldom says why it refuses a ring, and where messages are not acknowledged
 * it hangs up at some later one. The size is the usual reason, if it is not a small one. */
static int explain_rings(const struct device *dev, unsigned int size, int code)
{
	static const char subject[] = "the back-end ";
	struct error_kept kept = error_keep();
	const char *what = strstr(kept.sentence, subject);

	if ((code != -ECONNRESET && code != -EREMOTEIO) || size <= MIN_AUTO_QUEUE_SIZE ||
	    !what)
		return code;
	return error_set(-code, "%s: the back-end does not seem to take queues of %u "
			 "entries, because it %s: %s (most back-ends take 1024 entries at "
			 "most)", dev->vu.path, size, what + sizeof(subject) - 1,
			 remedies.smaller_queue);
}

int start_driver(struct device *dev)
{
	return add_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			  VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

static int run_rings(struct device *dev)
{
	int code = start_rings(dev);

	if (!code)
		code = start_driver(dev);
	return code ? code : kick_rings(dev);
}

static int run(struct device *dev)
{
	struct virtq_shape fixed, shape = { 0 };
	int code = choose_shape(dev, &shape);

	choose_fixed_shape(dev, &fixed);
	if (!code)
		code = start_agree(dev);
	if (!code)
		code = share_room(dev, &fixed, &shape);
	if (!code)
		code = make_queues(dev, &fixed, &shape);
	if (!code)
		code = explain_rings(dev, shape.size, start_sizes(dev));
	if (!code)
		code = inflight_give(dev);
	return code ? code : explain_rings(dev, shape.size, run_rings(dev));
}

int start_limit_parts(struct device *dev)
{
	const struct queue *queue = &dev->queues[dev->first_queue];

	return limit_parts(&dev->disk, queue->vq.shape.chain_length);
}

int start_queues(struct device *dev)
{
	int code = check_config(dev);

	if (!code)
		code = run(dev);
	if (code)
		return code;
	dev->num_queues = dev->config.num_queues;
	return 0;
}

/* The back-end does not touch the memory of a stopped ring any more. If it does not
 * answer, it is not asked again, and the memory of its rings is not reused. */
static void stop_ring(struct device *dev, struct queue *queue)
{
	uint32_t base;

	if (!dev->vu.is_dead &&
	    !vhost_user_get_vring_base(&dev->vu, queue->index, &base))
		memory_free(dev->memory, queue->vq.desc);
	queue_close(queue);
}

void stop_queues(struct device *dev)
{
	for (unsigned int i = 0; i < dev->num_open; i++)
		stop_ring(dev, &dev->queues[i]);
	inflight_drop(dev);
	free(dev->queues);
	free(dev->is_claimed);
	free(dev->disks);
	dev->queues = NULL;
	dev->is_claimed = NULL;
	dev->disks = NULL;
	dev->num_open = dev->num_queues = 0;
}
