/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storage in a file, accessed by system calls. Several workers may enter the
 * operations at the same time. Mapped files (storage/memory.c) use them too,
 * for everything that memory cannot do.
 *
 * Another process may cut the file short while it is served. Then a read past
 * the new end fails. Every write fails too until the file has its size again,
 * because a write would make the file longer and the hole before it would read
 * as zeroes.
 */
#include "storage/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "memory/guard.h"
#include "storage/direct.h"

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
		/* Past the end, or up to an end within a block. */
		if (!moved || (storage->direct_bytes &&
			       moved % storage->direct_bytes))
			return -EIO;
		span_skip(span, moved);
		offset += moved;
	}
	return 0;
}

static int check_end(const struct storage *storage)
{
	off_t end = lseek(storage->fd, 0, SEEK_END);

	return end < 0 || (uint64_t)end < storage->bytes ? -EIO : 0;
}

/* This is called before each write, so if the file is mapped, it makes no
 * system call: the last page of a file that was cut short cannot be read. */
int file_check_is_whole(const struct storage *storage)
{
	jmp_buf attempt;

	if (!storage->map || guard_gives_up(attempt))
		return check_end(storage);
	(void)shared_read(&storage->map[storage->bytes - 1]);
	guard_end();
	return 0;
}

static int file_read(struct storage *storage, uint64_t offset, struct span *to)
{
	int result = direct_fits(storage, to) ?
			     file_transfer(storage, offset, to, preadv) :
			     direct_read_by_copy(storage, offset, to);

	return result ? storage_failed(storage, "read", offset, result) : 0;
}

static int file_write(struct storage *storage, uint64_t offset,
		      struct span *from)
{
	int result = file_check_is_whole(storage);

	if (!result)
		result = direct_fits(storage, from) ?
				 file_transfer(storage, offset, from, pwritev) :
				 direct_write_by_copy(storage, offset, from);
	return result ? storage_failed(storage, "write", offset, result) : 0;
}

/* The kernel reports only once that it could not write data. So a flush that
 * succeeds after a failed one would wrongly claim that the data is safe. */
static int file_flush(struct storage *storage)
{
	int result = shared_read(&storage->flush_failed) ?
			     -EIO :
			     check_end(storage);

	while (!result && fdatasync(storage->fd))
		if (errno != EINTR)
			result = -errno;
	if (!result)
		return 0;
	shared_write(&storage->flush_failed, true);
	return storage_failed(storage, "flush", 0, result);
}

static int file_fill_zeroes(struct storage *storage, uint64_t offset,
			    uint64_t bytes)
{
	static _Alignas(4096) uint8_t zeroes[65536];

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
	/* The disk says that discarded blocks read as zeroes, so zeroes are
	 * written if the file system cannot punch holes. */
	while (fallocate(storage->fd,
			 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
			 bytes)) {
		if (errno == EOPNOTSUPP)
			return file_fill_zeroes(storage, offset, bytes);
		if (errno != EINTR)
			return storage_failed(storage, "discard", offset, -errno);
	}
	return 0;
}

/* ---- without waiting ----------------------------------------------------- */

static int postpone(struct postponed *later, bool is_write, uint64_t offset,
		    const struct span *span)
{
	*later = (struct postponed){ .is_set = true,
				     .is_transfer = true,
				     .is_write = is_write,
				     .offset = offset,
				     .span = *span };
	return -EINPROGRESS;
}

static int try_direct(struct storage *storage, bool is_write, uint64_t offset,
		      struct span *span, struct postponed *later)
{
	if (!span->bytes)
		return 0;
	return direct_fits(storage, span) ?
		       postpone(later, is_write, offset, span) :
		       storage_postpone(later);
}

/* Reads what is cached. Returns how many bytes, or a negative errno. */
static ssize_t read_cached(struct storage *storage, uint64_t offset,
			   const struct span *to)
{
	ssize_t moved;

	if (shared_read(&storage->lacks_nowait))
		return -EAGAIN;
	moved = preadv2(storage->fd, to->segments, to->count, offset,
			RWF_NOWAIT);
	if (moved < 0 && errno == EOPNOTSUPP)
		shared_write(&storage->lacks_nowait, true);
	return moved < 0 ? -errno : moved;
}

int file_try_read(struct storage *storage, uint64_t offset, struct span *to,
		  struct postponed *later)
{
	ssize_t moved;

	if (storage->direct_bytes)
		return try_direct(storage, false, offset, to, later);
	moved = read_cached(storage, offset, to);
	if (moved > 0) {
		span_skip(to, moved);
		offset += moved;
	}
	return to->bytes ? postpone(later, false, offset, to) : 0;
}

/* A write to the cache seldom waits, so it is carried out at once. */
int file_try_write(struct storage *storage, uint64_t offset, struct span *from,
		   struct postponed *later)
{
	if (storage->direct_bytes)
		return try_direct(storage, true, offset, from, later);
	return file_write(storage, offset, from);
}

bool file_is_in_memory(const struct storage *storage)
{
	struct statfs system;

	if (fstatfs(storage->fd, &system))
		return false;
	return system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC ||
	       system.f_type == HUGETLBFS_MAGIC;
}

const struct storage_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.discard = file_discard,
	.write_zeroes = file_write_zeroes,
};

/* ---- opening ------------------------------------------------------------ */

static int make_as_long(struct storage *storage, const char *path,
			uint64_t end, bool read_only)
{
	if (end >= storage->bytes)
		return 0;
	if (read_only)
		return error_record(-ENOSPC,
				    "storage %s has %" PRIu64
				    " bytes and cannot grow to %" PRIu64
				    " because it is read-only",
				    path, end, storage->bytes);
	if (ftruncate(storage->fd, storage->bytes))
		return error_record(-errno,
				    "storage %s has %" PRIu64
				    " bytes and cannot grow to %" PRIu64 ": %s",
				    path, end, storage->bytes, strerror(errno));
	return 0;
}

int storage_open_file(struct storage *storage, const char *path,
		      bool read_only, bool *is_new)
{
	/* O_NONBLOCK: a pipe must not make us wait. O_EXCL below: no file is
	 * created at the target of a dangling link. */
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
	off_t end;

	storage->fd = open(path, flags);
	if (storage->fd < 0 && errno == ENOENT && storage->bytes && !read_only)
		storage->fd = open(path, flags | O_CREAT | O_EXCL, 0600);
	if (storage->fd < 0)
		return error_record(-errno, "storage %s: %s", path,
				    strerror(errno));
	end = lseek(storage->fd, 0, SEEK_END);
	if (end < 0)
		return error_record(-errno, "storage %s: %s", path,
				    strerror(errno));
	*is_new = !end;
	if (!storage->bytes)
		storage->bytes = end;
	if (!storage->bytes)
		return error_record(-EINVAL, "storage %s is empty: give its size",
				    path);
	return make_as_long(storage, path, end, read_only);
}
