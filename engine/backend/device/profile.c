/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The profiles. Those of SPDK and QEMU offer the features that SPDK v23.01 and
 * qemu-storage-daemon 7.2 offered when they were observed, except packed rings,
 * which this back-end does not implement.
 */
#include "device/profile.h"

#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>

#include "../vhost/proto.h"
#include "base/feature.h"
#include "memory/client.h"
#include "ring/ring.h"

/* linux/vhost.h, VHOST_F_LOG_ALL. */
enum { LOG_ALL = 26 };

#define RING_FEATURES                                                    \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_EVENT_IDX) | \
	 FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |                          \
	 FEATURE(VHOST_USER_F_PROTOCOL_FEATURES))

#define BLK_FEATURES                                                       \
	(FEATURE(VIRTIO_BLK_F_SIZE_MAX) | FEATURE(VIRTIO_BLK_F_SEG_MAX) |  \
	 FEATURE(VIRTIO_BLK_F_BLK_SIZE) | FEATURE(VIRTIO_BLK_F_FLUSH) |    \
	 FEATURE(VIRTIO_BLK_F_TOPOLOGY) |                                  \
	 FEATURE(VIRTIO_BLK_F_CONFIG_WCE) | FEATURE(VIRTIO_BLK_F_MQ) |     \
	 FEATURE(VIRTIO_BLK_F_DISCARD) | FEATURE(VIRTIO_BLK_F_WRITE_ZEROES))

#define SCSI_FEATURES \
	(FEATURE(VIRTIO_SCSI_F_HOTPLUG) | FEATURE(VIRTIO_SCSI_F_CHANGE))

#define PROTOCOL(name) FEATURE(VHOST_USER_PROTOCOL_F_##name)

static const struct profile profiles[] = {
	{
		.name = "builtin",
		.blk_features = RING_FEATURES | BLK_FEATURES,
		.scsi_features = RING_FEATURES | SCSI_FEATURES,
		.protocol_features =
			PROTOCOL(MQ) | PROTOCOL(REPLY_ACK) |
			PROTOCOL(BACKEND_REQ) | PROTOCOL(CONFIG) |
			PROTOCOL(INFLIGHT_SHMFD) | PROTOCOL(RESET_DEVICE) |
			PROTOCOL(CONFIGURE_MEM_SLOTS) | PROTOCOL(STATUS),
		.memory_slots = MEMORY_REGIONS_MAX,
		.ring_size_max = RING_SIZE_MAX,
		.seg_max = 126,
		.has_attention = true,
	},
	{
		.name = "spdk",
		.blk_features = (RING_FEATURES & ~FEATURE(VIRTIO_RING_F_EVENT_IDX)) |
				(BLK_FEATURES & ~FEATURE(VIRTIO_BLK_F_CONFIG_WCE)) |
				FEATURE(VIRTIO_F_ANY_LAYOUT) | FEATURE(LOG_ALL),
		.scsi_features = (RING_FEATURES & ~FEATURE(VIRTIO_RING_F_EVENT_IDX)) |
				 SCSI_FEATURES | FEATURE(VIRTIO_SCSI_F_INOUT) |
				 FEATURE(VIRTIO_F_ANY_LAYOUT) | FEATURE(LOG_ALL),
		.protocol_features = 0x11ebf,
		.memory_slots = VHOST_USER_MAX_REGIONS,
		.ring_size_max = 1024,
		.size_max = 131072,
		.seg_max = 128,
		.closes_on_failure = true,
		.wants_kick_last = true,
		.ignores_enable = true,
		.ignores_config_offset = true,
		.completes_bad_chains = true,
		.loose_used_length = true,
		.ignores_unmap_list = true,
		.null_lacks_flush = true,
	},
	{
		.name = "qemu",
		.blk_features = RING_FEATURES | BLK_FEATURES |
				FEATURE(VIRTIO_F_NOTIFY_ON_EMPTY) |
				FEATURE(LOG_ALL),
		.scsi_features = RING_FEATURES | FEATURE(VIRTIO_SCSI_F_HOTPLUG) |
				 FEATURE(VIRTIO_F_NOTIFY_ON_EMPTY) |
				 FEATURE(LOG_ALL),
		.protocol_features = 0x8f2b,
		.memory_slots = 32,
		.ring_size_max = 1024,
		.seg_max = 126,
		.offers_empty_size_max = true,
		.one_client = true,
		.keeps_ring_addresses = true,
		.closes_on_failure = true,
		.has_attention = true,
	},
	{
		.name = "rust-vmm",
		.blk_features = RING_FEATURES |
				(BLK_FEATURES & ~FEATURE(VIRTIO_BLK_F_SIZE_MAX)),
		.scsi_features = RING_FEATURES,
		.protocol_features = PROTOCOL(MQ) | PROTOCOL(REPLY_ACK) |
				     PROTOCOL(CONFIG) |
				     PROTOCOL(CONFIGURE_MEM_SLOTS),
		.memory_slots = 32,
		.ring_size_max = 1024,
		.seg_max = 126,
		.closes_on_failure = true,
		.loses_early_kicks = true,
		.has_attention = true,
	},
	{
		.name = "minimal",
		.blk_features = FEATURE(VIRTIO_F_VERSION_1) |
				FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
				FEATURE(VIRTIO_BLK_F_FLUSH),
		.scsi_features = FEATURE(VIRTIO_F_VERSION_1),
		.memory_slots = VHOST_USER_MAX_REGIONS,
		.ring_size_max = 256,
		.closes_on_failure = true,
		.seg_max = 126,
	},
};

const struct profile *profile_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	return NULL;
}
