/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks each access to a disk and passes it to the storage. This is on the
 * request path of every worker, so it does not lock or allocate.
 */
#include "storage/disk.h"

#include <errno.h>

int disk_check(const struct disk *disk, uint64_t offset, uint64_t bytes)
{
	if ((offset | bytes) & (disk->block_bytes - 1))
		return -EINVAL;
	if (offset > disk->bytes || bytes > disk->bytes - offset)
		return -ERANGE;
	return 0;
}

static int check_change(const struct disk *disk, uint64_t offset,
			uint64_t bytes)
{
	return disk->read_only ? -EROFS : disk_check(disk, offset, bytes);
}

int disk_read(struct disk *disk, uint64_t offset, struct span *to,
	      struct postponed *later)
{
	struct storage *storage = disk->storage;
	int result = disk_check(disk, offset, to->bytes);

	if (result)
		return result;
	if (unlikely(later != NULL))
		return file_try_read(storage, disk->start_bytes + offset, to,
				     later);
	return storage->ops->read(storage, disk->start_bytes + offset, to);
}

int disk_write(struct disk *disk, uint64_t offset, struct span *from,
	       struct postponed *later)
{
	struct storage *storage = disk->storage;
	int result = check_change(disk, offset, from->bytes);

	if (result)
		return result;
	if (unlikely(later != NULL))
		return file_try_write(storage, disk->start_bytes + offset, from,
				      later);
	return storage->ops->write(storage, disk->start_bytes + offset, from);
}

int disk_write_through(struct disk *disk, uint64_t offset, struct span *from,
		       struct postponed *later)
{
	int result;

	if (later)
		return storage_postpone(later);
	result = disk_write(disk, offset, from, NULL);
	return result ? result : disk_flush(disk, NULL);
}

int disk_flush(struct disk *disk, struct postponed *later)
{
	if (later)
		return storage_postpone(later);
	return disk->storage->ops->flush(disk->storage);
}

int disk_discard(struct disk *disk, uint64_t offset, uint64_t bytes,
		 struct postponed *later)
{
	struct storage *storage = disk->storage;
	int result = check_change(disk, offset, bytes);

	if (result || !bytes)
		return result;
	if (later)
		return storage_postpone(later);
	return storage->ops->discard(storage, disk->start_bytes + offset,
				     bytes);
}

int disk_write_zeroes(struct disk *disk, uint64_t offset, uint64_t bytes,
		      struct postponed *later)
{
	struct storage *storage = disk->storage;
	int result = check_change(disk, offset, bytes);

	if (result || !bytes)
		return result;
	if (later)
		return storage_postpone(later);
	return storage->ops->write_zeroes(storage, disk->start_bytes + offset,
					  bytes);
}
