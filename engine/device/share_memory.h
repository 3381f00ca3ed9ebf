/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells the back-end about memory, and records which memory it knows: regions of
 * the device's memory, and foreign regions, which belong to the program. Regions are
 * told one by one if the back-end supports that, else all at once before its rings
 * run.
 *
 * A region counts as known, and becomes part of the memory, only once the back-end
 * has accepted it, so after a refusal nothing has to be undone. The caller holds
 * dev->lock or owns the device's control path, except for share_lend() and
 * share_could_learn(), which take no lock.
 */
#ifndef SHARE_H
#define SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/foreign.h"
#include "vhost/user.h"

struct device;

/* The memory that one back-end knows. */
struct shared {
	uint32_t regions;     /* atomic: a bit for each index in dev->memory */
	uint32_t refused;     /* atomic: the same; it does not take them now */
	struct foreign_list foreign;
};

/* Tells the back-end about all regions that it does not know yet. 0, or a
 * negative errno with a sentence. */
int share_memory(struct device *dev);
/* The same, and adds a new region of at least size_bytes, which becomes part of the
 * memory. */
int share_new_region(struct device *dev, size_t size_bytes);
/* The number of regions that the back-end knows. */
unsigned int share_count(const struct device *dev);
/* Tells the back-end of a new connection about these regions, which the former one knew. */
int share_again(struct device *dev, uint32_t regions);
/* Prepares for other memory. No ring may use the present regions any more, but if this
 * returns true, the back-end still knows them, and they must stay mapped until the device
 * is closed. Otherwise it forgets them, now or with the next table of all regions. */
bool share_leave(struct device *dev);

/* ---- share_foreign.c: the program's own regions ---- */

/* Tells it about size_bytes at address, which are mapped from fd at
 * file_offset_bytes. */
int share_foreign(struct device *dev, const void *address, size_t size_bytes, int fd,
		  uint64_t file_offset_bytes);
/* The back-end forgets the foreign region that begins at address. 0, or with a sentence
 * -EINVAL (there is none), -EBUSY (an operation uses it), -EOPNOTSUPP or the failure of
 * the message; then nothing has changed. */
int share_forget_foreign(struct device *dev, const void *address);
/* Tells the back-end of a new connection about the foreign regions of the former one. */
int share_foreign_again(struct device *fresh, struct foreign_list *list);

/* What share_foreign.c needs of the other file. */
bool share_takes_single_regions(const struct device *dev);
/* 0, or a negative errno with a sentence: the back-end takes no further count regions. */
int share_check_takes(const struct device *dev, unsigned int count);
struct vhost_user_region share_as_sent(const void *address, size_t size_bytes,
				       uint64_t file_offset_bytes);

/* ---- looking up ---- */

/* True if the back-end knows all of [address, address + size_bytes), for an operation. This
 * is a user of a foreign region then: foreign_lend(). */
bool share_lend(struct device *dev, const void *address, size_t size_bytes,
		uint32_t *lent);
/* True if another device has added a region of which the back-end was not told. */
bool share_lacks_some(const struct device *dev);
/* True if this memory lies in a region of dev->memory that another device has added, and
 * that the back-end may take. */
bool share_could_learn(const struct device *dev, const void *address, size_t size_bytes);
/* Tells the back-end about that region. After a refusal it is not asked again before it
 * has a free slot. */
int share_learn(struct device *dev, const void *address, size_t size_bytes);

#endif
