/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Features and configuration; see negotiate.h. */
#include "negotiate.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "blk.h"
#include "device.h"
#include "error.h"

static bool has(uint64_t bits, unsigned int bit)
{
	return bits >> bit & 1;
}

/* ---- protocol features ---------------------------------------------------- */

static uint64_t wanted_protocol(uint64_t offered)
{
	uint64_t wanted = 1ull << VHOST_USER_PROTOCOL_F_MQ |
			  1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK |
			  1ull << VHOST_USER_PROTOCOL_F_CONFIG |
			  1ull << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
			  1ull << VHOST_USER_PROTOCOL_F_STATUS;

	/* The channel is there for changes of the configuration only. */
	if (has(offered, VHOST_USER_PROTOCOL_F_CONFIG))
		wanted |= 1ull << VHOST_USER_PROTOCOL_F_BACKEND_REQ;
	return wanted & offered;
}

static int negotiate_protocol(struct device *dev)
{
	struct device_info *info = &dev->disk.info;
	int code;

	if (!has(info->offered_features, VHOST_USER_F_PROTOCOL_FEATURES))
		return 0;
	code = vhost_user_get_protocol_features(&dev->vu, &info->offered_protocol);
	if (code)
		return code;
	info->protocol = wanted_protocol(info->offered_protocol);
	return vhost_user_set_protocol_features(&dev->vu, info->protocol);
}

static int negotiate_mem_slots(struct device *dev)
{
	struct device_info *info = &dev->disk.info;
	uint64_t slots = VHOST_USER_MAX_REGIONS;
	int code = 0;

	if (has(info->protocol, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		code = vhost_user_get_max_mem_slots(&dev->vu, &slots);
	if (code)
		return code;
	if (!slots)
		return error_set(EPROTO, "%s: the back-end says that it takes "
			"no memory region", dev->vu.path);
	info->max_mem_slots = slots > UINT32_MAX ? UINT32_MAX : (unsigned int)slots;
	return 0;
}

/* ---- virtio features ------------------------------------------------------ */

static int choose_ring(struct device *dev, uint64_t *wanted)
{
	const struct device_config *config = &dev->config;
	uint64_t offered = dev->disk.info.offered_features;

	if (config->indirect == CHOICE_ON &&
	    !has(offered, VIRTIO_RING_F_INDIRECT_DESC))
		return error_set(EOPNOTSUPP, "%s: the back-end does not offer "
			"indirect descriptors: leave out indirect=1",
			dev->vu.path);
	if (config->event_idx == CHOICE_ON &&
	    !has(offered, VIRTIO_RING_F_EVENT_IDX))
		return error_set(EOPNOTSUPP, "%s: the back-end does not offer "
			"event_idx: leave out event_idx=1", dev->vu.path);
	if (config->indirect != CHOICE_OFF)
		*wanted |= 1ull << VIRTIO_RING_F_INDIRECT_DESC;
	if (config->event_idx != CHOICE_OFF)
		*wanted |= 1ull << VIRTIO_RING_F_EVENT_IDX;
	return 0;
}

static int choose_features(struct device *dev)
{
	struct device_info *info = &dev->disk.info;
	uint64_t wanted = blk_wanted_features() |
			  1ull << VIRTIO_F_VERSION_1 |
			  1ull << VHOST_USER_F_PROTOCOL_FEATURES;
	int code = choose_ring(dev, &wanted);

	info->features = wanted & info->offered_features;
	return code;
}

/* ---- configuration --------------------------------------------------------- */

static int read_config(struct device *dev)
{
	struct device_info *info = &dev->disk.info;
	char space[BLK_CONFIG_BYTES];
	int code;

	if (!has(info->protocol, VHOST_USER_PROTOCOL_F_CONFIG)) {
		blk_assume_config(info->features, info);
		return 0;
	}
	code = vhost_user_get_config(&dev->vu, space, sizeof(space));
	return code ? code : blk_read_config(space, info->features, info);
}

/* GET_QUEUE_NUM and the configuration can disagree: the smaller counts. */
static int read_queue_num(struct device *dev)
{
	struct device_info *info = &dev->disk.info;
	uint64_t num;
	int code;

	if (!has(info->protocol, VHOST_USER_PROTOCOL_F_MQ))
		return 0;
	code = vhost_user_get_queue_num(&dev->vu, &num);
	if (code)
		return code;
	if (num < info->max_queues)
		info->max_queues = (unsigned int)num;
	if (!info->max_queues)
		return error_set(EPROTO, "%s: the back-end says that it has no "
			"queue", dev->vu.path);
	return 0;
}

static uint64_t no_more_than(uint64_t value, uint64_t limit)
{
	return value && value < limit ? value : limit;
}

/* Limits in the form in which the I/O path wants them: never 0, never more
 * than a part may have, whole blocks. */
static void derive_limits(struct disk *disk)
{
	const struct device_info *info = &disk->info;
	uint64_t block_mask = ~(uint64_t)(info->block_size - 1);
	uint64_t segment = no_more_than(info->size_max, DISK_MAX_PART_BYTES);

	disk->max_segment_bytes = (uint32_t)segment;
	disk->max_part_bytes = no_more_than(segment * info->seg_max,
					    DISK_MAX_PART_BYTES) & block_mask;
	disk->max_discard_part_bytes = (uint32_t)(block_mask &
		no_more_than(info->max_discard_bytes, DISK_MAX_PART_BYTES));
	disk->max_write_zeroes_part_bytes = (uint32_t)(block_mask &
		no_more_than(info->max_write_zeroes_bytes, DISK_MAX_PART_BYTES));
}

static int check_limits(const struct device *dev)
{
	const struct disk *disk = &dev->disk;

	if (disk->max_part_bytes < disk->info.block_size)
		return error_set(EPROTO, "%s: the back-end's limits (size_max "
			"%u, seg_max %u) leave no room for one block of %u "
			"bytes", dev->vu.path, disk->info.size_max,
			disk->info.seg_max, disk->info.block_size);
	return 0;
}

int negotiate(struct device *dev)
{
	struct device_info *info = &dev->disk.info;
	int code = vhost_user_get_features(&dev->vu, &info->offered_features);

	if (!code)
		code = negotiate_protocol(dev);
	if (!code)
		code = vhost_user_set_owner(&dev->vu);
	if (!code)
		code = negotiate_mem_slots(dev);
	if (!code)
		code = choose_features(dev);
	if (code)
		return code;
	info->type = DEVICE_BLK;
	dev->commands = &blk_command_set;
	code = read_config(dev);
	if (!code)
		code = read_queue_num(dev);
	if (code)
		return code;
	derive_limits(&dev->disk);
	return check_limits(dev);
}
