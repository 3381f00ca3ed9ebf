/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Feature bits, virtio's and the protocol's: the kernel's headers number them,
 * and here is the one place that makes masks of the numbers. Any thread.
 */
#ifndef BACKEND_FEATURE_H
#define BACKEND_FEATURE_H

#include <stdbool.h>
#include <stdint.h>

#define FEATURE(bit) (UINT64_C(1) << (bit))

static inline bool has_feature(uint64_t features, unsigned int bit)
{
	return features & FEATURE(bit);
}

#endif
