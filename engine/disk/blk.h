/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk: its feature bits, configuration space and requests
 * (virtio 1.2, 5.2). The queue's owner calls it; it calls only virtq.
 */
#ifndef BLK_H
#define BLK_H

#include "disk/request.h"

/* The bytes of configuration space that are read. They end with the write-zeroes
 * limits, because the structure of every back-end is at least that long. */
#define BLK_CONFIG_BYTES 60

extern const struct command_set blk_command_set;

/* The feature bits of virtio-blk that the engine makes use of. */
uint64_t blk_wanted_features(void);
/* Fills in the device's part of info from its configuration space, which is
 * BLK_CONFIG_BYTES long. 0, or -EPROTO for an invalid configuration. */
int blk_read_config(const void *space, uint64_t features,
		    struct device_info *info);
/* True if space, which has at least 8 bytes, holds a capacity. */
bool blk_is_config(const void *space);
/* For a device without configuration space. */
void blk_assume_config(uint64_t features, struct device_info *info);
/* The 20 bytes that a finished REQUEST_GET_ID read. */
const char *blk_id(const struct virtq *vq, uint16_t chain);
/* True if the device wrote a status of virtio-blk to the chain of a request that failed. */
bool blk_is_answered(const struct virtq *vq, uint16_t chain);

#endif
