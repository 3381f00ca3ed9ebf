/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk: a slice of the storage in blocks, with the checks that every access
 * needs.
 *
 * Several workers may enter it at the same time. Its size changes only while
 * they are parked. It knows neither virtio-blk nor SCSI; both use it.
 */
#ifndef BACKEND_DISK_H
#define BACKEND_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/storage.h"

/* Virtio counts capacity in sectors of 512 bytes for any block size. */
enum { SECTOR_BYTES = 512 };

struct disk {
	struct storage *storage;
	uint64_t start_bytes; /* in the storage */
	uint64_t bytes;       /* a multiple of the block size */
	uint32_t block_bytes; /* 512 or 4096 */
	bool read_only;
	unsigned int number; /* index in device.disks */
};

/* Returns 0 if the range consists of whole blocks within the disk, -EINVAL if
 * it is misaligned, -ERANGE if it reaches past the end. */
int disk_check(const struct disk *disk, uint64_t offset, uint64_t bytes);

/* Each checks the range first. Returns 0, an errno of disk_check(), -EROFS for
 * a change to a read-only disk, or a negative errno of the storage. If `later` is not
 * NULL, the storage is a file, and what would wait returns -EINPROGRESS instead. */
int disk_read(struct disk *disk, uint64_t offset, struct span *to,
	      struct postponed *later);
int disk_write(struct disk *disk, uint64_t offset, struct span *from,
	       struct postponed *later);
/* Writes, and returns only when the data is safe. */
int disk_write_through(struct disk *disk, uint64_t offset, struct span *from,
		       struct postponed *later);
int disk_flush(struct disk *disk, struct postponed *later);
int disk_discard(struct disk *disk, uint64_t offset, uint64_t bytes,
		 struct postponed *later);
int disk_write_zeroes(struct disk *disk, uint64_t offset, uint64_t bytes,
		      struct postponed *later);

#endif
