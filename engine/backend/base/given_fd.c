/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds out what kind of file a descriptor is. The control thread enters it. A
 * close that may wait runs in a thread of its own, which uses no data of the
 * back-end.
 */
#include "base/given_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/error.h"

/* How many closes may wait at the same time. Further fds stay open. */
enum { CLOSING_MAX = 64 };

/* Reads the kernel's name of the file: its path, or if it has none the kind of
 * file, such as anon_inode:[eventfd]. This asks no file system. If /proc is not
 * mounted, the name is empty and the result is false. */
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
	return error_record(-EINVAL, "%s is not %s%s%s", what, wanted,
			    *name ? " but " : "", name);
}

/* Without /proc, any file without a file type is accepted, as an eventfd is.
 * The worst that follows is a signal that fails. */
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
	return refuse(fd, what, "an eventfd");
}

/* Only memfds and files on tmpfs or hugetlbfs have seals. */
static bool is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

int given_fd_check_memory(int fd, const char *what)
{
	if (is_memory(fd))
		return 0;
	return refuse(fd, what, "a memfd or a file on tmpfs or hugetlbfs");
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
	return is_unix_socket(fd) ? 0 : refuse(fd, what, "a Unix socket");
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

/* The close of a file with a path may wait for a device or for another file
 * system, and a network socket may linger. A Unix socket may hold such files,
 * in messages that nobody has received. */
static bool closes_at_once(int fd)
{
	char name[16];

	if (is_memory(fd))
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

/* Nothing arrives after the shutdown. */
void given_fd_hang_up(int fd)
{
	int unread_bytes = 0;

	shutdown(fd, SHUT_RDWR);
	if (!ioctl(fd, FIONREAD, &unread_bytes) && !unread_bytes)
		close(fd);
	else
		close_elsewhere(fd);
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

static void close_received(struct msghdr *received)
{
	struct cmsghdr *control;

	for (control = CMSG_FIRSTHDR(received); control;
	     control = CMSG_NXTHDR(received, control)) {
		const int *fds = (const int *)CMSG_DATA(control);
		size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		size_t i;

		for (i = 0; control->cmsg_type == SCM_RIGHTS && i < count; i++)
			given_fd_close(fds[i]);
	}
}

ssize_t given_fd_receive(int fd, void *buffer, size_t bytes)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(GIVEN_FDS_MAX * sizeof(int))];
	} control;
	struct iovec into = { buffer, bytes };
	struct msghdr received = { .msg_iov = &into,
				   .msg_iovlen = 1,
				   .msg_control = &control,
				   .msg_controllen = sizeof(control) };
	ssize_t count = recvmsg(fd, &received, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (count >= 0)
		close_received(&received);
	return count;
}
