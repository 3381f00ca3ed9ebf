/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which memory a device's back-end knows: regions of the device's memory, and
 * regions of the program's own. It is told of them one by one where it takes
 * that, else at once before its rings run.
 *
 * Memory counts as known, and becomes part of anything, once the back-end has
 * accepted it, so that a refusal leaves nothing to undo. The caller holds
 * dev->lock or owns the device's control path, but for share_reaches().
 */
#ifndef SHARE_H
#define SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;

/* Memory of the program's own that a back-end knows. */
struct foreign {
	const char *address;
	size_t size_bytes;
};

#define SHARE_MAX_FOREIGN 8

/* What one back-end knows. */
struct shared {
	uint32_t regions;         /* atomic: a bit for each index in dev->memory */
	unsigned int num_foreign; /* atomic: grows after its entry is there */
	struct foreign foreign[SHARE_MAX_FOREIGN];
};

/* Tells of all regions of the memory that the back-end does not know yet. 0, or a
 * negative errno with a sentence. */
int share_memory(struct device *dev);
/* The same, with a new region of at least size_bytes, which becomes part of the
 * memory. */
int share_new_region(struct device *dev, size_t size_bytes);
/* Tells of size_bytes at address, mapped from fd at file_offset_bytes. */
int share_foreign(struct device *dev, const void *address, size_t size_bytes, int fd,
		  uint64_t file_offset_bytes);
/* True if the back-end knows all of [address, address + size_bytes). Any thread;
 * no lock. */
bool share_reaches(const struct device *dev, const void *address, size_t size_bytes);

#endif
