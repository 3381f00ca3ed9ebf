/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storage in memory: private memory, which no other process can take away, and
 * mapped files, of which any page can be unavailable (memory/guard.h). Several
 * workers may enter the operations at the same time. After overlapping writes
 * each byte is from one of them, as on a disk.
 */
#include "storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "memory/guard.h"

#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)

/* ---- private memory ------------------------------------------------------ */

static int memory_read(struct storage *storage, uint64_t offset,
		       struct span *to)
{
	span_put(to, storage->map + offset, to->bytes);
	return 0;
}

static int memory_write(struct storage *storage, uint64_t offset,
			struct span *from)
{
	span_take_front(from, storage->map + offset, from->bytes);
	return 0;
}

static int memory_flush(struct storage *storage)
{
	(void)storage;
	return 0;
}

/* Whole huge pages are returned to the system. Smaller pieces are cleared,
 * because returning them would split huge pages. */
static int memory_write_zeroes(struct storage *storage, uint64_t offset,
			       uint64_t bytes)
{
	uint64_t start = (offset + HUGE_PAGE_BYTES - 1) & -HUGE_PAGE_BYTES;
	uint64_t end = (offset + bytes) & -HUGE_PAGE_BYTES;

	if (start >= end ||
	    madvise(storage->map + start, end - start, MADV_DONTNEED))
		start = end = offset + bytes;
	memset(storage->map + offset, 0, start - offset);
	memset(storage->map + end, 0, offset + bytes - end);
	return 0;
}

const struct storage_ops memory_ops = {
	.read = memory_read,
	.write = memory_write,
	.flush = memory_flush,
	.discard = memory_write_zeroes,
	.write_zeroes = memory_write_zeroes,
};

/* The memory is aligned so that huge pages fit. */
int storage_map_memory(struct storage *storage,
		       const struct storage_options *options)
{
	uint64_t bytes = storage->bytes + HUGE_PAGE_BYTES;
	void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mapping == MAP_FAILED)
		return error_record(-errno, "storage: %" PRIu64
				    " bytes of memory: %s",
				    storage->bytes, strerror(errno));
	storage->mapping = mapping;
	storage->mapping_bytes = bytes;
	storage->map = (uint8_t *)(((uintptr_t)mapping + HUGE_PAGE_BYTES - 1) &
				   -(uintptr_t)HUGE_PAGE_BYTES);
	/* A child process of our program needs no copy of it. */
	madvise(mapping, bytes, MADV_DONTFORK);
	/* If pages are allocated at first use, huge pages would take much more
	 * memory than the blocks that are used. */
	madvise(mapping, bytes, MADV_NOHUGEPAGE);
	if (options->populate)
		populate(storage->map, storage->bytes, &options->cpus,
			 options->populate_huge);
	return 0;
}

/* ---- mapped files -------------------------------------------------------- */

/* If an access to memory is given up, a system call carries out the request or
 * says why it fails. It can read a hole for which there is no free block.
 * `whole` is the span before a part of it was consumed. */
static int mapped_read(struct storage *storage, uint64_t offset,
		       struct span *to)
{
	struct span whole = *to;
	jmp_buf attempt;

	if (guard_gives_up(attempt))
		return file_ops.read(storage, offset, &whole);
	memory_read(storage, offset, to);
	guard_end();
	return 0;
}

static int mapped_write(struct storage *storage, uint64_t offset,
			struct span *from)
{
	struct span whole = *from;
	jmp_buf attempt;

	if (guard_gives_up(attempt))
		return file_ops.write(storage, offset, &whole);
	memory_write(storage, offset, from);
	guard_end();
	return 0;
}

static int mapped_flush(struct storage *storage)
{
	return file_ops.flush(storage);
}

static int mapped_discard(struct storage *storage, uint64_t offset,
			  uint64_t bytes)
{
	return file_ops.write_zeroes(storage, offset, bytes);
}

const struct storage_ops mapped_ops = {
	.read = mapped_read,
	.write = mapped_write,
	.flush = mapped_flush,
	.discard = mapped_discard,
	.write_zeroes = mapped_discard,
};

int storage_map_file(struct storage *storage, bool read_only)
{
	int protection = PROT_READ | (read_only ? 0 : PROT_WRITE);
	void *mapping = mmap(NULL, storage->bytes, protection,
			     MAP_SHARED | MAP_NORESERVE, storage->fd, 0);

	if (mapping == MAP_FAILED)
		return error_record(-errno, "storage: mmap of %" PRIu64
				    " bytes: %s",
				    storage->bytes, strerror(errno));
	storage->map = storage->mapping = mapping;
	storage->mapping_bytes = storage->bytes;
	guard_storage(mapping, storage->bytes);
	return 0;
}

/* Blocks are allocated first. If the file system has too few, none is taken
 * from other files. Pages are filled only for files in memory, which are those
 * that have seals; pages of other files would all be written to the device. */
void storage_populate_file(struct storage *storage,
			   const struct storage_options *options)
{
	if (!fallocate(storage->fd, 0, 0, storage->bytes)) {
		if (fcntl(storage->fd, F_GET_SEALS) >= 0)
			populate(storage->map, storage->bytes, &options->cpus,
				 options->populate_huge);
		return;
	}
	if (errno != EOPNOTSUPP)
		log_line(storage->log_fd,
			 "storage: there is no room for all of its %" PRIu64
			 " bytes (%s), so they are allocated at first use",
			 storage->bytes, strerror(errno));
}
