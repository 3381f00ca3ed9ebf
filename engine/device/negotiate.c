/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Features and configuration; see device/negotiate.h. */
#include "device/negotiate.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>

#include "disk/blk.h"
#include "device/ask_type.h"
#include "device/device.h"
#include "base/error.h"
#include "disk/scsi.h"

/* SET_VRING_KICK and SET_VRING_CALL name a queue in 8 bits. */
#define MAX_QUEUES 256

static bool has(uint64_t bits, unsigned int bit)
{
	return bits >> bit & 1;
}

/* ---- protocol features ---------------------------------------------------- */

/* The only message over BACKEND_REQ that matters to us says that the configuration changed,
 * so it is of no use without CONFIG. */
static uint64_t wanted_protocol(const struct device *dev)
{
	uint64_t wanted = 1ull << VHOST_USER_PROTOCOL_F_MQ |
			  1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK |
			  1ull << VHOST_USER_PROTOCOL_F_CONFIG |
			  1ull << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
			  1ull << VHOST_USER_PROTOCOL_F_STATUS;

	if (has(dev->disk.info.offered_protocol, VHOST_USER_PROTOCOL_F_CONFIG))
		wanted |= 1ull << VHOST_USER_PROTOCOL_F_BACKEND_REQ;
	if (device_wants_inflight(dev))
		wanted |= 1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
	return wanted & dev->disk.info.offered_protocol;
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
	info->protocol = wanted_protocol(dev);
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
			"indirect descriptors: leave out indirect=on",
			dev->vu.path);
	if (config->event_idx == CHOICE_ON &&
	    !has(offered, VIRTIO_RING_F_EVENT_IDX))
		return error_set(EOPNOTSUPP, "%s: the back-end does not offer "
			"event_idx: leave out event_idx=on", dev->vu.path);
	if (config->indirect != CHOICE_OFF)
		*wanted |= 1ull << VIRTIO_RING_F_INDIRECT_DESC;
	if (config->event_idx != CHOICE_OFF)
		*wanted |= 1ull << VIRTIO_RING_F_EVENT_IDX;
	return 0;
}

/* ---- device type ------------------------------------------------------------ */

/* True if a bit is offered that only virtio-blk has (5.2.3, 5.6.3). */
static bool has_blk_bits(uint64_t offered)
{
	const uint64_t shared = 1ull << VIRTIO_BLK_F_SIZE_MAX |
				1ull << VIRTIO_BLK_F_SEG_MAX;

	return offered & blk_wanted_features() & ~shared;
}

/* Bits 1 and 2 mean limits in virtio-blk and events in virtio-scsi, so they show nothing.
 * In a configuration, sense_size and cdb_size decide, because they are fixed in
 * virtio-scsi. A configuration of zeroes shows nothing: SPDK answers so for virtio-scsi. */
static int find_type_by_config(struct device *dev)
{
	struct device_info *info = &dev->disk.info;
	char space[SCSI_CONFIG_BYTES];
	int code;

	if (!has(info->protocol, VHOST_USER_PROTOCOL_F_CONFIG)) {
		info->type = DEVICE_AUTO;
		return 0;
	}
	code = vhost_user_get_config(&dev->vu, space, sizeof(space));
	if (!code && scsi_is_config(space))
		info->type = DEVICE_SCSI;
	else if (!code && !blk_is_config(space))
		info->type = DEVICE_AUTO;
	return code;
}

/* The protocol does not say what a socket serves, so the features or the configuration
 * must. DEVICE_AUTO if they do not. */
static int find_type(struct device *dev)
{
	struct device_info *info = &dev->disk.info;

	info->type = DEVICE_BLK;
	if (has_blk_bits(info->offered_features))
		return 0;
	if (!has(info->offered_features, VIRTIO_SCSI_F_INOUT))
		return find_type_by_config(dev);
	info->type = DEVICE_SCSI;
	return 0;
}

static const char *type_name(int type)
{
	return type == DEVICE_SCSI ? "scsi" : "blk";
}

static int check_type(struct device *dev)
{
	int chosen = dev->config.type;
	struct device_info *info = &dev->disk.info;
	int code = find_type(dev);

	if (!code && chosen == DEVICE_AUTO && info->type == DEVICE_AUTO)
		return ask_type(dev);
	if (code || chosen == DEVICE_AUTO || chosen == info->type)
		return code;
	/* If the features show neither type, the user's choice counts. */
	if (has_blk_bits(info->offered_features) ||
	    has(info->offered_features, VIRTIO_SCSI_F_INOUT))
		return error_set(EINVAL, "%s: device=%s does not fit, because "
			"the back-end offers features of virtio-%s: leave device= "
			"out", dev->vu.path, type_name(chosen),
			type_name(info->type));
	info->type = chosen;
	return 0;
}

static int choose_features(struct device *dev)
{
	struct device_info *info = &dev->disk.info;
	uint64_t wanted = 1ull << VIRTIO_F_VERSION_1 |
			  1ull << VHOST_USER_F_PROTOCOL_FEATURES;
	int code = choose_ring(dev, &wanted);

	if (info->type == DEVICE_BLK)
		wanted |= blk_wanted_features();
	info->features = wanted & info->offered_features;
	return code;
}

/* ---- configuration --------------------------------------------------------- */

static int read_scsi_config(struct device *dev)
{
	char space[SCSI_CONFIG_BYTES];
	int code;

	/* A placeholder until the disk is known, because commands have no blocks. */
	dev->disk.info.block_size = 512;
	if (!has(dev->disk.info.protocol, VHOST_USER_PROTOCOL_F_CONFIG)) {
		scsi_assume_config(&dev->disk);
		return 0;
	}
	code = vhost_user_get_config(&dev->vu, space, sizeof(space));
	if (!code)
		scsi_read_config(space, &dev->disk);
	return code;
}

static int read_blk_config(struct device *dev)
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

/* GET_QUEUE_NUM and the configuration can disagree; the smaller number counts. */
static int read_queue_num(struct device *dev)
{
	struct device_info *info = &dev->disk.info;
	uint64_t num;
	int code;

	if (!has(info->protocol, VHOST_USER_PROTOCOL_F_MQ)) {
		/* Several queues are an extension of the protocol. */
		info->max_queues = 1;
		return 0;
	}
	code = vhost_user_get_queue_num(&dev->vu, &num);
	if (code)
		return code;
	if (num <= dev->first_queue)
		return error_set(EPROTO, "%s: the back-end says that it has %llu "
			"queues, none of them for requests", dev->vu.path,
			(unsigned long long)num);
	/* The kick and call messages carry an index of one byte. */
	if (num > MAX_QUEUES)
		num = MAX_QUEUES;
	num -= dev->first_queue;
	if (num < info->max_queues || !info->has_config)
		info->max_queues = (unsigned int)num;
	return 0;
}

static int read_config(struct device *dev)
{
	if (dev->disk.info.type == DEVICE_BLK) {
		dev->commands = &blk_command_set;
		return read_blk_config(dev);
	}
	dev->commands = &scsi_command_set;
	dev->first_queue = SCSI_FIXED_QUEUES;
	return read_scsi_config(dev);
}

static int read_limits(struct device *dev)
{
	int code = read_config(dev);

	dev->told_bytes = dev->disk.info.capacity_bytes;
	if (!code)
		code = read_queue_num(dev);
	return code ? code : disk_derive_limits(&dev->disk);
}

int negotiate_again(struct device *dev)
{
	int code = 0;

	/* Only virtio-scsi is started to be described. */
	if (dev->disk.info.type == DEVICE_SCSI &&
	    vhost_user_has_protocol(&dev->vu, VHOST_USER_PROTOCOL_F_STATUS))
		code = vhost_user_set_status(&dev->vu, 0);
	return code ? code : read_limits(dev);
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
		code = changes_listen(dev);
	if (!code)
		code = negotiate_mem_slots(dev);
	if (!code)
		code = check_type(dev);
	if (!code)
		code = choose_features(dev);
	return code ? code : read_limits(dev);
}

/* ---- a new connection to the same device -------------------------------------- */

static int check_offers(const struct device *dev, const char *kind, uint64_t used,
			uint64_t offered)
{
	if (!(used & ~offered))
		return 0;
	return error_set(EOPNOTSUPP, "%s: the back-end lacks %s features that are in use "
			 "(0x%llx)", dev->vu.path, kind,
			 (unsigned long long)(used & ~offered));
}

/* Without INFLIGHT_SHMFD all rings begin again; without BACKEND_REQ only changes of the
 * configuration are not noticed. */
static int negotiate_same_protocol(struct device *dev, const struct device *before)
{
	const uint64_t optional = 1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
				  1ull << VHOST_USER_PROTOCOL_F_BACKEND_REQ;
	struct device_info *info = &dev->disk.info;
	uint64_t used = before->vu.protocol;
	int code;

	if (!has(before->disk.info.features, VHOST_USER_F_PROTOCOL_FEATURES))
		return 0;
	code = vhost_user_get_protocol_features(&dev->vu, &info->offered_protocol);
	if (!code)
		code = check_offers(dev, "protocol", used & ~optional,
				    info->offered_protocol);
	if (code)
		return code;
	info->protocol = used & info->offered_protocol;
	return vhost_user_set_protocol_features(&dev->vu, info->protocol);
}

/* If nothing shows the type, the requests in flight are carried out all the same. */
static int check_same_type(struct device *dev, const struct device_info *before)
{
	int code = find_type(dev), shown = dev->disk.info.type;

	dev->disk.info.type = before->type;
	if (code || shown == DEVICE_AUTO || shown == before->type)
		return code;
	return error_set(ENODEV, "%s: the back-end serves virtio-%s now, not virtio-%s",
			 dev->vu.path, type_name(shown), type_name(before->type));
}

int negotiate_same(struct device *dev, const struct device *before)
{
	const struct device_info *used = &before->disk.info;
	struct device_info *info = &dev->disk.info;
	int code = vhost_user_get_features(&dev->vu, &info->offered_features);

	if (!code)
		code = check_offers(dev, "virtio", used->features &
				    1ull << VHOST_USER_F_PROTOCOL_FEATURES,
				    info->offered_features);
	if (!code)
		code = negotiate_same_protocol(dev, before);
	if (!code)
		code = vhost_user_set_owner(&dev->vu);
	if (!code)
		code = negotiate_mem_slots(dev);
	if (!code)
		code = check_same_type(dev, used);
	if (!code)
		code = check_offers(dev, "virtio", used->features,
				    info->offered_features);
	info->features = used->features;
	return code ? code : read_limits(dev);
}
