/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk as a kind of device.
 */
#ifndef BACKEND_BLK_H
#define BACKEND_BLK_H

#include "device/device.h"

extern const struct device_ops blk_ops;

#endif
