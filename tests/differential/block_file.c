/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes plain files look like block devices to the program that this library is preloaded into,
 * so that fio's own engines can be compared with ours without a device and without root.
 *
 * The files are those in the folder $BLOCK_FILES. They have blocks of $BLOCK_BYTES, they cannot
 * grow, they can be discarded, and a request that touches a range of $BLOCK_FAULTS fails with EIO
 * and changes nothing. A fault is written r|w|t:FIRST-LAST (read, write, trim; bytes), or s:0-0 for
 * all flushes, and a blank follows it. Of fio's engines psync and libaio are served; all else passes unchanged.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* ---- which files ------------------------------------------------------------ */

/* `path` is absolute. */
static bool is_listed(const char *path)
{
	const char *folder = getenv("BLOCK_FILES");
	size_t length = folder ? strlen(folder) : 0;

	return length && !strncmp(path, folder, length) && path[length] == '/';
}

static bool is_ours(const char *path)
{
	char absolute[PATH_MAX];

	return realpath(path, absolute) && is_listed(absolute);
}

/* The size of the device behind fd, or -1 if it is none of ours. */
static off64_t device_bytes(int fd)
{
	char link[32], path[PATH_MAX];
	struct stat64 status;
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return -1;
	path[length] = 0;
	if (!is_listed(path) || NEXT(fstat64)(fd, &status))
		return -1;
	return status.st_size;
}

static int as_device(int code, bool is_device, struct stat64 *status)
{
	if (!code && is_device && S_ISREG(status->st_mode))
		status->st_mode = S_IFBLK | (status->st_mode & 0777);
	return code;
}

int stat64(const char *path, struct stat64 *status)
{
	return as_device(NEXT(stat64)(path, status), is_ours(path), status);
}

int lstat64(const char *path, struct stat64 *status)
{
	return as_device(NEXT(lstat64)(path, status), is_ours(path), status);
}

int fstat64(int fd, struct stat64 *status)
{
	int code = NEXT(fstat64)(fd, status);

	return as_device(code, device_bytes(fd) >= 0, status);
}

/* Memory has no direct I/O in older kernels. */
int open64(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list rest;

	va_start(rest, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(rest, mode_t);
	va_end(rest);
	if (is_ours(path))
		flags &= ~(O_DIRECT | O_CREAT | O_TRUNC);
	return NEXT(open64)(path, flags, mode);
}

/* ---- what fails ------------------------------------------------------------- */

static bool is_faulty(char kind, off64_t first, off64_t end)
{
	const char *faults = getenv("BLOCK_FAULTS");
	long long from, to;
	char wanted;
	int used;

	for (; faults && sscanf(faults, "%c:%lld-%lld %n", &wanted, &from, &to, &used) == 3;
	     faults += used)
		if (wanted == kind && first <= to && end > from)
			return true;
	return false;
}

static bool is_misaligned(off64_t offset, size_t size)
{
	const char *bytes = getenv("BLOCK_BYTES");
	long block = bytes ? atol(bytes) : 512;

	return offset % block || size % block;
}

/* A positive errno, or 0 for what goes on to the file. */
static int refuse(char kind, off64_t capacity, off64_t offset, size_t size)
{
	if (is_misaligned(offset, size))
		return EINVAL;
	if (kind == 'w' && offset >= capacity)
		return ENOSPC;
	if (kind == 't' && offset + (off64_t)size > capacity)
		return EINVAL;
	return is_faulty(kind, offset, offset + (off64_t)size) ? EIO : 0;
}

/* Linux cuts reads and writes to the device. */
static size_t cut(off64_t capacity, off64_t offset, size_t size)
{
	if (capacity < 0 || offset + (off64_t)size <= capacity)
		return size;
	return offset < capacity ? (size_t)(capacity - offset) : 0;
}

/* ---- requests --------------------------------------------------------------- */

ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset)
{
	off64_t capacity = device_bytes(fd);

	errno = capacity < 0 ? 0 : refuse('r', capacity, offset, size);
	return errno ? -1 : NEXT(pread64)(fd, buffer, cut(capacity, offset, size), offset);
}

ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{
	off64_t capacity = device_bytes(fd);

	errno = capacity < 0 ? 0 : refuse('w', capacity, offset, size);
	return errno ? -1 : NEXT(pwrite64)(fd, buffer, cut(capacity, offset, size), offset);
}

static bool may_flush(int fd)
{
	bool fails = device_bytes(fd) >= 0 && is_faulty('s', 0, 1);

	errno = fails ? EIO : 0;
	return !fails;
}

int fsync(int fd)
{
	return may_flush(fd) ? NEXT(fsync)(fd) : -1;
}

int fdatasync(int fd)
{
	return may_flush(fd) ? NEXT(fdatasync)(fd) : -1;
}

int sync_file_range(int fd, off64_t offset, off64_t size, unsigned int flags)
{
	return may_flush(fd) ? NEXT(sync_file_range)(fd, offset, size, flags) : -1;
}

static int discard(int fd, off64_t capacity, const uint64_t *range)
{
	errno = refuse('t', capacity, (off64_t)range[0], range[1]);
	if (errno)
		return -1;
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off64_t)range[0],
			 (off64_t)range[1]);
}

int ioctl(int fd, unsigned long request, ...)
{
	off64_t capacity = device_bytes(fd);
	va_list rest;
	void *argument;

	va_start(rest, request);
	argument = va_arg(rest, void *);
	va_end(rest);
	if (capacity < 0)
		return NEXT(ioctl)(fd, request, argument);
	switch (request) {
	case BLKGETSIZE64:
		*(uint64_t *)argument = (uint64_t)capacity;
		return 0;
	case BLKFLSBUF:
		return 0;
	case BLKDISCARD:
		return discard(fd, capacity, argument);
	default:
		errno = ENOTTY;
		return -1;
	}
}

/* ---- libaio, whose structures are the kernel's ------------------------------- */

int io_submit(aio_context_t context, long count, struct iocb **iocbs);
int io_getevents(aio_context_t context, long min, long max, struct io_event *events,
		 struct timespec *timeout);

/* What is to fail goes to the kernel as a request for no bytes, with its errno in a field that
 * the kernel does not look at. */
static void prepare(struct iocb *iocb)
{
	bool is_read = iocb->aio_lio_opcode == IOCB_CMD_PREAD;
	off64_t capacity = device_bytes((int)iocb->aio_fildes);

	iocb->aio_reqprio = 0;
	if (capacity < 0 || (!is_read && iocb->aio_lio_opcode != IOCB_CMD_PWRITE))
		return;
	iocb->aio_reqprio = (short)refuse(is_read ? 'r' : 'w', capacity, iocb->aio_offset,
					  iocb->aio_nbytes);
	iocb->aio_nbytes = iocb->aio_reqprio ? 0 :
			   cut(capacity, iocb->aio_offset, iocb->aio_nbytes);
}

int io_submit(aio_context_t context, long count, struct iocb **iocbs)
{
	for (long i = 0; i < count; i++)
		prepare(iocbs[i]);
	return NEXT(io_submit)(context, count, iocbs);
}

int io_getevents(aio_context_t context, long min, long max, struct io_event *events,
		 struct timespec *timeout)
{
	int count = NEXT(io_getevents)(context, min, max, events, timeout);

	for (int i = 0; i < count; i++) {
		const struct iocb *iocb = (const struct iocb *)(uintptr_t)events[i].obj;

		if (iocb->aio_reqprio)
			events[i].res = -iocb->aio_reqprio;
	}
	return count;
}
