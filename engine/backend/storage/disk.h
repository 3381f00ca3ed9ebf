/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One disk: a slice of the storage, in blocks, with the checks that every
 * access needs.
 *
 * Workers enter it at once with each other. Its size changes only while they
 * are parked. Knows neither virtio-blk nor SCSI: both stand on it.
 */
#ifndef BACKEND_DISK_H
#define BACKEND_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/storage.h"

/* Virtio counts capacity in sectors of 512 bytes whatever the block size. */
enum { SECTOR_BYTES = 512 };

struct disk {
	struct storage *storage;
	uint64_t start_bytes; /* in the storage */
	uint64_t bytes;       /* a multiple of the block size */
	uint32_t block_bytes; /* 512 or 4096 */
	bool read_only;
	unsigned int number; /* among the back-end's disks */
};

/* Whether the range is on whole blocks and within the disk: 0, -EINVAL for a
 * misaligned one, -ERANGE for one that reaches past the end. */
int disk_check(const struct disk *disk, uint64_t offset, uint64_t bytes);

/* Each checks the range first; -EROFS for a change to a read-only disk, else a
 * negative errno of the storage's. */
int disk_read(struct disk *disk, uint64_t offset, struct span *to);
int disk_write(struct disk *disk, uint64_t offset, struct span *from);
int disk_flush(struct disk *disk);
int disk_discard(struct disk *disk, uint64_t offset, uint64_t bytes);
int disk_write_zeroes(struct disk *disk, uint64_t offset, uint64_t bytes);

#endif
