/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells kinds of files apart. Entered by the control thread; a close that may
 * wait has a thread of its own, which touches nothing of the back-end.
 */
#include "base/given_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/error.h"

/* Closes that wait at the same time. What comes beyond them stays open. */
enum { CLOSING_MAX = 64 };

/* How the kernel calls the file: its path, or for what has none the kind of
 * file, such as anon_inode:[eventfd]. Asks no file system. Empty, and false,
 * where /proc is not mounted. */
static bool read_name(int fd, char *name, size_t room)
{
	char link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, name, room - 1);
	name[length < 0 ? 0 : length] = '\0';
	return length >= 0;
}

static int refuse(int fd, const char *what, const char *wanted)
{
	char name[128];

	read_name(fd, name, sizeof(name));
	return error_record(-EINVAL, "%s is no %s%s%s", what, wanted,
			    *name ? " but " : "", name);
}

/* Without /proc, what has no type of file is near enough: of these, calls are
 * not even begun on what is no eventfd. */
static bool has_no_type(int fd)
{
	struct stat file;

	return !fstat(fd, &file) && !(file.st_mode & S_IFMT);
}

int given_fd_check_event(int fd, const char *what)
{
	char name[64];

	if (read_name(fd, name, sizeof(name)) ?
		    !strcmp(name, "anon_inode:[eventfd]") :
		    has_no_type(fd))
		return 0;
	return refuse(fd, what, "eventfd");
}

/* Seals are what these files have, and no other. */
static bool is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

int given_fd_check_memory(int fd, const char *what)
{
	if (is_memory(fd))
		return 0;
	return refuse(fd, what, "memfd or file on tmpfs or hugetlbfs");
}

static bool is_unix_socket(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t bytes = sizeof(domain);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) &&
	       domain == AF_UNIX;
}

int given_fd_check_socket(int fd, const char *what)
{
	return is_unix_socket(fd) ? 0 : refuse(fd, what, "Unix socket");
}

uint64_t given_fd_page_bytes(int fd)
{
	struct statfs file_system;

	if (!fstatfs(fd, &file_system) &&
	    (unsigned long)file_system.f_type == HUGETLBFS_MAGIC)
		return file_system.f_bsize;
	return sysconf(_SC_PAGESIZE);
}

/* ---- closing ------------------------------------------------------------ */

/* A path may lead to a device or to a file system that others provide, and a
 * socket of the network may linger. */
static bool closes_at_once(int fd)
{
	char name[16];

	if (is_memory(fd) || is_unix_socket(fd))
		return true;
	read_name(fd, name, sizeof(name));
	return !strncmp(name, "anon_inode:", 11) || !strncmp(name, "pipe:", 5);
}

static unsigned int closing; /* atomic */

static void *close_slowly(void *fd)
{
	close((intptr_t)fd);
	__atomic_sub_fetch(&closing, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void close_elsewhere(int fd)
{
	pthread_attr_t detached;
	pthread_t thread;

	if (__atomic_add_fetch(&closing, 1, __ATOMIC_RELAXED) <= CLOSING_MAX) {
		pthread_attr_init(&detached);
		pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
		if (!pthread_create(&thread, &detached, close_slowly,
				    (void *)(intptr_t)fd))
			fd = -1;
		pthread_attr_destroy(&detached);
	}
	if (fd >= 0)
		__atomic_sub_fetch(&closing, 1, __ATOMIC_RELAXED);
}

void given_fd_close(int fd)
{
	if (fd < 0)
		return;
	if (closes_at_once(fd))
		close(fd);
	else
		close_elsewhere(fd);
}
