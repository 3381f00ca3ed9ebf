/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Feature bits of virtio and of the protocol. The kernel's headers give their
 * numbers; this file turns the numbers into masks. Any thread may use it.
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
