/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The type of a device by its answers; see device/ask_type.h.
 *
 * First the device is asked as virtio-blk, because queue 0 exists in both types: GET_ID
 * reads no data. In virtio-scsi queue 0 is the control queue, and GET_ID has the number
 * of no control request, so nothing is done and no status is written. Then the device is
 * asked as virtio-scsi: TEST UNIT READY, on queue 2.
 */
#include "device/ask_type.h"

#include <errno.h>
#include <linux/virtio_config.h>

#include "base/clock.h"
#include "base/error.h"
#include "device/device.h"
#include "device/execute_one.h"
#include "device/start.h"
#include "disk/blk.h"
#include "disk/scsi.h"

/* How long the answer to GET_ID may take. */
#define LONGEST_ID_MS 1000

static bool has(uint64_t bits, unsigned int bit)
{
	return bits >> bit & 1;
}

/* ---- one question --------------------------------------------------------------- */

/* True if the device wrote a status that its type knows, for a request that failed. A
 * device that is busy did so, too. */
static bool is_answered(const struct device *dev, const struct queue *queue,
			const struct request *req)
{
	if (dev->commands == &blk_command_set)
		return blk_is_answered(&queue->vq, req->chain);
	return queue->counters.retries || scsi_is_answered(&queue->vq, req->chain);
}

/* 1 or 0, or a negative errno: the connection has ended. */
static int question(struct device *dev, unsigned int timeout_ms)
{
	struct queue *queue = &dev->queues[dev->first_queue];
	struct request *req = queue_get(queue);
	struct scsi_command test_unit_ready = { 0 };
	bool is_blk = dev->commands == &blk_command_set;
	int code;

	req->type = is_blk ? REQUEST_GET_ID : REQUEST_COMMAND;
	req->user = &test_unit_ready;
	req->offset_bytes = req->left_bytes = 0;
	code = execute(queue, req, dev->vu.fd, timeout_ms);
	if (code && device_is_gone(dev))
		return code;
	return !code || is_answered(dev, queue, req);
}

static void assume(struct device *dev, const struct command_set *commands)
{
	struct device_info *info = &dev->disk.info;

	dev->commands = commands;
	if (commands == &blk_command_set) {
		dev->first_queue = 0;
		blk_assume_config(0, info);
	} else {
		dev->first_queue = SCSI_FIXED_QUEUES;
		info->block_size = 512;
		scsi_assume_config(&dev->disk);
		scsi_set_address(&dev->disk, 0, 0);
	}
}

/* 1 if the device answers as that type does, else 0; negative if it cannot be asked
 * anything more. */
static int ask_as(struct device *dev, const struct command_set *commands,
		  unsigned int timeout_ms)
{
	struct error_kept first;
	int code;

	assume(dev, commands);
	code = disk_derive_limits(&dev->disk);
	if (!code)
		code = start_queues(dev);
	if (!code)
		code = question(dev, timeout_ms);
	else if (code == -EREMOTEIO)
		code = 0; /* it has no such queue */
	/* If the connection has ended, stopping fails too. */
	first = error_keep();
	stop_queues(dev);
	error_restore(&first);
	return code;
}

/* ---- both questions ---------------------------------------------------------------- */

/* The number of queues in all, or 0 if the back-end cannot say it. */
static int read_queue_num(struct device *dev, uint64_t *num)
{
	*num = 0;
	if (!has(dev->vu.protocol, VHOST_USER_PROTOCOL_F_MQ))
		return 0;
	return vhost_user_get_queue_num(&dev->vu, num);
}

/* A device that leaves GET_ID without an answer, and does not say that it has three
 * queues, is not asked about a third one: some back-ends end when they are. */
static int ask_both(struct device *dev, uint64_t queue_num)
{
	unsigned int left_ms = (unsigned int)clock_left_ms(dev->vu.deadline_ns);
	uint64_t began_ns = clock_now_ns();
	unsigned int id_ms = left_ms / 3 < LONGEST_ID_MS ? left_ms / 3 : LONGEST_ID_MS;
	int code = ask_as(dev, &blk_command_set, id_ms);
	bool is_silent = clock_now_ns() - began_ns >= id_ms * NS_PER_MS;

	if (code)
		return code < 0 ? code : DEVICE_BLK;
	if (is_silent && !queue_num)
		return DEVICE_AUTO;
	left_ms = (unsigned int)clock_left_ms(dev->vu.deadline_ns);
	code = ask_as(dev, &scsi_command_set, left_ms / 2);
	return code > 0 ? DEVICE_SCSI : code;
}

static void make_small(struct device_config *config)
{
	config->num_queues = 1;
	config->depth = 1;
	config->queue_size = 0;
	config->memory_bytes = 0;
	config->max_request_bytes = 512;
}

/* In memory of its own: what the device is to use later may have to be told at once. The
 * memory lasts as long as the device; see share_leave(). */
static int ask(struct device *dev, uint64_t queue_num)
{
	const uint64_t plain = 1ull << VIRTIO_F_VERSION_1 |
			       1ull << VHOST_USER_F_PROTOCOL_FEATURES;
	struct device_config config = dev->config;
	struct disk disk = dev->disk;
	struct memory *memory = dev->memory;
	int type;

	dev->memory = &dev->early_memory;
	make_small(&dev->config);
	dev->disk.info.features = disk.info.offered_features & plain;
	type = ask_both(dev, queue_num);
	if (!share_leave(dev)) {
		memory_close(&dev->early_memory);
		memory_init(&dev->early_memory, config.hugepages);
	}
	dev->memory = memory;
	dev->config = config;
	dev->disk = disk;
	dev->first_queue = 0;
	return type;
}

int ask_type(struct device *dev)
{
	uint64_t queue_num;
	int type = read_queue_num(dev, &queue_num);

	if (type)
		return type;
	/* virtio-scsi has at least three queues. */
	if (queue_num && queue_num <= SCSI_FIXED_QUEUES)
		type = DEVICE_BLK;
	else
		type = ask(dev, queue_num);
	if (type < 0)
		return type;
	if (type == DEVICE_AUTO)
		return error_set(EINVAL, "%s: the back-end does not show whether it "
				 "serves virtio-blk or virtio-scsi: choose device=blk "
				 "or device=scsi", dev->vu.path);
	dev->disk.info.type = type;
	return 0;
}
