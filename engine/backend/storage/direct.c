/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds out what direct access needs, and copies what it cannot move. The thread that opens
 * the storage begins it; any worker or helper may enter the rest.
 */
#include "storage/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum {
	/* The most that a device needs, and what a probe is aligned to. */
	ALIGN_MAX = 4096,
	ALIGN_MIN = 512,
	/* A longer request is copied in pieces. */
	COPY_BYTES = 1 << 20,
};

/* ---- what the file needs ------------------------------------------------- */

/* Asks the kernel (Linux 6.1). Returns whether it knows. */
static bool ask_kernel(struct storage *storage)
{
#ifdef STATX_DIOALIGN
	struct statx found;

	if (!statx(storage->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &found) &&
	    found.stx_mask & STATX_DIOALIGN && found.stx_dio_offset_align) {
		storage->direct_bytes = found.stx_dio_offset_align;
		storage->direct_memory_bytes = found.stx_dio_mem_align;
		return true;
	}
#endif
	(void)storage;
	return false;
}

static bool can_read(int fd, uint8_t *to, size_t bytes)
{
	return pread(fd, to, bytes, 0) >= 0;
}

/* Tries small reads. A block device says itself what it needs. */
static void probe(struct storage *storage)
{
	static _Alignas(ALIGN_MAX) uint8_t place[2 * ALIGN_MAX];
	int sector_bytes;

	storage->direct_bytes = ALIGN_MAX;
	if (!ioctl(storage->fd, BLKSSZGET, &sector_bytes))
		storage->direct_bytes = sector_bytes;
	else if (can_read(storage->fd, place, ALIGN_MIN))
		storage->direct_bytes = ALIGN_MIN;
	storage->direct_memory_bytes =
		can_read(storage->fd, place + ALIGN_MIN, ALIGN_MAX) ?
			ALIGN_MIN :
			storage->direct_bytes;
}

int direct_begin(struct storage *storage, const char *path)
{
	int flags = fcntl(storage->fd, F_GETFL);

	if (fcntl(storage->fd, F_SETFL, flags | O_DIRECT))
		return error_record(-errno,
				    "storage %s: direct=on: its file system has no "
				    "direct access (%s): use direct=off, or a file "
				    "on another file system",
				    path, strerror(errno));
	if (!ask_kernel(storage))
		probe(storage);
	if (storage->direct_bytes < ALIGN_MIN)
		storage->direct_bytes = ALIGN_MIN;
	return 0;
}

bool direct_fits(const struct storage *storage, const struct span *span)
{
	const size_t address_mask = storage->direct_memory_bytes - 1;
	const size_t length_mask = storage->direct_bytes - 1;
	unsigned int i;

	if (!storage->direct_bytes)
		return true;
	for (i = 0; i < span->count; i++)
		if ((uintptr_t)span->segments[i].iov_base & address_mask ||
		    span->segments[i].iov_len & length_mask)
			return false;
	return true;
}

/* ---- copies -------------------------------------------------------------- */

/* A file that was cut short ends anywhere, and the rest of a block cannot be read. */
static int read_whole(int fd, uint8_t *to, size_t bytes, uint64_t offset)
{
	ssize_t moved;

	do
		moved = pread(fd, to, bytes, offset);
	while (moved < 0 && errno == EINTR);
	if (moved < 0)
		return -errno;
	return (size_t)moved == bytes ? 0 : -EIO;
}

static int write_whole(int fd, const uint8_t *from, size_t bytes, uint64_t offset)
{
	ssize_t moved;

	do
		moved = pwrite(fd, from, bytes, offset);
	while (moved < 0 && errno == EINTR);
	if (moved < 0)
		return -errno;
	return (size_t)moved == bytes ? 0 : -ENOSPC;
}

static int copy(struct storage *storage, uint64_t offset, struct span *span,
		bool is_write)
{
	size_t most = span->bytes < COPY_BYTES ? span->bytes : COPY_BYTES;
	uint8_t *place = aligned_alloc(ALIGN_MAX, (most + ALIGN_MAX - 1) &
							  ~(size_t)(ALIGN_MAX - 1));
	int result = place ? 0 : -ENOMEM;

	while (!result && span->bytes) {
		size_t piece = span->bytes < most ? span->bytes : most;

		if (is_write) {
			span_take_front(span, place, piece);
			result = write_whole(storage->fd, place, piece, offset);
		} else {
			result = read_whole(storage->fd, place, piece, offset);
			if (!result)
				span_put(span, place, piece);
		}
		offset += piece;
	}
	free(place);
	return result;
}

int direct_read_by_copy(struct storage *storage, uint64_t offset,
			struct span *to)
{
	return copy(storage, offset, to, false);
}

int direct_write_by_copy(struct storage *storage, uint64_t offset,
			 struct span *from)
{
	return copy(storage, offset, from, true);
}
