/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access to a file without the page cache (O_DIRECT).
 *
 * Offsets, lengths and addresses in memory must then be multiples of what the file's device
 * needs. Offsets and lengths are, because the disk's blocks are not smaller. Memory of a
 * client may be anywhere, so what is not aligned goes through memory of our own.
 */
#ifndef BACKEND_DIRECT_H
#define BACKEND_DIRECT_H

#include "storage/storage.h"

/* Begins direct access to the open file. Returns 0 or a negative errno. */
int direct_begin(struct storage *storage, const char *path);

/* Whether the file's device can move the data to or from its place. True if access is not
 * direct. */
bool direct_fits(const struct storage *storage, const struct span *span);

/* Move data that does not fit. Spans are consumed. Return 0 or a negative errno. */
int direct_read_by_copy(struct storage *storage, uint64_t offset,
			struct span *to);
int direct_write_by_copy(struct storage *storage, uint64_t offset,
			 struct span *from);

#endif
