/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-scsi: its place. Not served yet: backend.c refuses a device without
 * features.
 */
#include "device.h"

const struct device_ops scsi_ops = { .name = "scsi", .first_request_queue = 2 };
