/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The three kinds of storage. Workers enter the operations at once with each
 * other; whoever overlaps two writes gets what a disk would give: either.
 * Never checks offsets: the disk above did.
 */
#include "storage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

/* ---- null: accepts everything, returns nothing -------------------------- */

static int null_transfer(struct storage *storage, uint64_t offset,
			 struct span *span)
{
	(void)storage, (void)offset, (void)span;
	return 0;
}

static int null_flush(struct storage *storage)
{
	(void)storage;
	return 0;
}

static int null_range(struct storage *storage, uint64_t offset, uint64_t bytes)
{
	(void)storage, (void)offset, (void)bytes;
	return 0;
}

static const struct storage_ops null_ops = {
	.read = null_transfer,
	.write = null_transfer,
	.flush = null_flush,
	.discard = null_range,
	.write_zeroes = null_range,
};

/* ---- memory ------------------------------------------------------------- */

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

static int memory_write_zeroes(struct storage *storage, uint64_t offset,
			       uint64_t bytes)
{
	/* Punching gives the pages back; not every file system can. */
	if (fallocate(storage->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      offset, bytes))
		memset(storage->map + offset, 0, bytes);
	return 0;
}

static const struct storage_ops memory_ops = {
	.read = memory_read,
	.write = memory_write,
	.flush = memory_flush,
	.discard = memory_write_zeroes,
	.write_zeroes = memory_write_zeroes,
};

/* ---- file --------------------------------------------------------------- */

typedef ssize_t (*transfer)(int fd, const struct iovec *segments, int count,
			    off_t offset);

static int file_transfer(struct storage *storage, uint64_t offset,
			 struct span *span, transfer move)
{
	while (span->bytes) {
		ssize_t moved = move(storage->fd, span->segments, span->count,
				     offset);

		if (moved < 0 && errno == EINTR)
			continue;
		if (moved < 0)
			return -errno;
		if (!moved) /* the file was cut short behind our back */
			return -EIO;
		span_skip(span, moved);
		offset += moved;
	}
	return 0;
}

static int file_read(struct storage *storage, uint64_t offset, struct span *to)
{
	return file_transfer(storage, offset, to, preadv);
}

static int file_write(struct storage *storage, uint64_t offset,
		      struct span *from)
{
	return file_transfer(storage, offset, from, pwritev);
}

static int file_flush(struct storage *storage)
{
	return fdatasync(storage->fd) ? -errno : 0;
}

static int file_fill_zeroes(struct storage *storage, uint64_t offset,
			    uint64_t bytes)
{
	static uint8_t zeroes[65536];

	while (bytes) {
		struct iovec piece = {
			.iov_base = zeroes,
			.iov_len = bytes < sizeof(zeroes) ? bytes :
							    sizeof(zeroes)
		};
		struct span span = { &piece, 1, piece.iov_len };
		size_t step = piece.iov_len;
		int result = file_write(storage, offset, &span);

		if (result)
			return result;
		offset += step;
		bytes -= step;
	}
	return 0;
}

static int file_write_zeroes(struct storage *storage, uint64_t offset,
			     uint64_t bytes)
{
	if (!fallocate(storage->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		       offset, bytes) ||
	    !fallocate(storage->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       offset, bytes))
		return 0;
	return file_fill_zeroes(storage, offset, bytes);
}

static int file_discard(struct storage *storage, uint64_t offset,
			uint64_t bytes)
{
	/* Virtio 1.2, 5.2.6.2: a hint; what cannot punch holes keeps the data. */
	if (fallocate(storage->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      offset, bytes) &&
	    errno != EOPNOTSUPP)
		return -errno;
	return 0;
}

static const struct storage_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.discard = file_discard,
	.write_zeroes = file_write_zeroes,
};

/* ---- opening ------------------------------------------------------------ */

/* Opens or makes the file, and makes it at least `bytes` long. */
static int open_file(struct storage *storage, const char *path, uint64_t bytes,
		     bool read_only)
{
	int flags = read_only ? O_RDONLY : O_RDWR | (bytes ? O_CREAT : 0);
	off_t end;

	storage->fd = open(path, flags | O_CLOEXEC, 0600);
	if (storage->fd < 0)
		return error_record(-errno, "storage %s: %s", path,
				    strerror(errno));
	end = lseek(storage->fd, 0, SEEK_END);
	if (end < 0)
		return error_record(-errno, "storage %s: %s", path,
				    strerror(errno));
	if (!bytes)
		bytes = end;
	if (!bytes)
		return error_record(-EINVAL, "storage %s is empty: give --size",
				    path);
	if ((uint64_t)end < bytes && (read_only || ftruncate(storage->fd, bytes)))
		return error_record(-ENOSPC,
				    "storage %s has %" PRId64
				    " bytes and cannot be made %" PRIu64,
				    path, (int64_t)end, bytes);
	storage->bytes = bytes;
	return 0;
}

static int open_anonymous(struct storage *storage, uint64_t bytes)
{
	storage->fd = memfd_create("storage", MFD_CLOEXEC);
	if (storage->fd < 0 || ftruncate(storage->fd, bytes))
		return error_record(-errno, "storage: %" PRIu64
				    " bytes of memory: %s",
				    bytes, strerror(errno));
	storage->bytes = bytes;
	return 0;
}

static int map_memory(struct storage *storage, bool read_only)
{
	int protection = PROT_READ | (read_only ? 0 : PROT_WRITE);

	storage->map = mmap(NULL, storage->bytes, protection,
			    MAP_SHARED | MAP_NORESERVE, storage->fd, 0);
	if (storage->map == MAP_FAILED) {
		storage->map = NULL;
		return error_record(-errno, "storage: mmap of %" PRIu64
				    " bytes: %s",
				    storage->bytes, strerror(errno));
	}
	return 0;
}

static int open_memory(struct storage *storage, const char *path,
		       uint64_t bytes, bool read_only)
{
	int result;

	storage->ops = &memory_ops;
	result = path ? open_file(storage, path, bytes, read_only) :
			open_anonymous(storage, bytes);
	return result ? result : map_memory(storage, read_only);
}

int storage_open(struct storage *storage, const char *words, uint64_t bytes,
		 bool read_only)
{
	int result = 0;

	*storage = (struct storage){ .fd = -1, .bytes = bytes };
	if (!strcmp(words, "null")) {
		storage->ops = &null_ops;
	} else if (!strcmp(words, "memory")) {
		result = open_memory(storage, NULL, bytes, read_only);
	} else if (!strncmp(words, "memory:", 7)) {
		result = open_memory(storage, words + 7, bytes, read_only);
	} else if (!strncmp(words, "file:", 5)) {
		storage->ops = &file_ops;
		result = open_file(storage, words + 5, bytes, read_only);
	} else {
		result = error_record(-EINVAL,
				      "storage '%s' is unknown: take null, "
				      "memory, memory:PATH or file:PATH",
				      words);
	}
	if (!result && !storage->bytes)
		result = error_record(-EINVAL, "storage %s: give a size", words);
	if (result)
		storage_close(storage);
	return result;
}

void storage_close(struct storage *storage)
{
	if (storage->map)
		munmap(storage->map, storage->bytes);
	if (storage->fd >= 0)
		close(storage->fd);
	*storage = (struct storage){ .fd = -1 };
}
