/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk: its feature bits, configuration space and requests
 * (virtio 1.2, 5.2). Called by the queue's owner; calls nobody but virtq.
 */
#ifndef BLK_H
#define BLK_H

#include "disk/request.h"

/* Bytes of configuration space that are read: up to the write-zeroes limits,
 * which every back-end's structure has. */
#define BLK_CONFIG_BYTES 60

extern const struct command_set blk_command_set;

/* The feature bits of virtio-blk that the engine makes use of. */
uint64_t blk_wanted_features(void);
/* Fills in the device's part of info from its configuration space, which is
 * BLK_CONFIG_BYTES long. 0, or -EPROTO for a configuration that cannot be. */
int blk_read_config(const void *space, uint64_t features,
		    struct device_info *info);
/* Where there is no configuration space to read. */
void blk_assume_config(uint64_t features, struct device_info *info);
/* The 20 bytes that a finished REQUEST_GET_ID brought. */
const char *blk_id(const struct virtq *vq, uint16_t chain);

#endif
