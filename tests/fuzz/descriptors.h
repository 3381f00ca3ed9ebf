/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File descriptors that a hostile peer sends, and the count of those that are open. They
 * are made anew each time, because whoever gets them closes them.
 */
#ifndef FUZZ_DESCRIPTORS_H
#define FUZZ_DESCRIPTORS_H

#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "input.h"

#define DESCRIPTORS_WATCHED 128

enum descriptor_kind {
	DESCRIPTOR_MEMORY,  /* the shared memory of the target; see descriptor_make() */
	DESCRIPTOR_EVENT,
	DESCRIPTOR_PAGE,    /* a memfd of one page, sealed */
	DESCRIPTOR_PIPE,
	DESCRIPTOR_SOCKET,
	DESCRIPTOR_FULL,    /* an eventfd whose counter is full, so that writes do not succeed */
	DESCRIPTOR_KINDS
};

static inline int descriptor_make_page(size_t bytes)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, (off_t)bytes) ||
			fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static inline int descriptor_make_full(void)
{
	const uint64_t most = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd >= 0 && write(fd, &most, sizeof(most)) < 0)
		abort();
	return fd;
}

static inline int descriptor_make_pipe(void)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -1;
	close(ends[1]);
	return ends[0];
}

/* A new descriptor, or -1. memory_fd: what DESCRIPTOR_MEMORY is a copy of. */
static inline int descriptor_make(unsigned int kind, int memory_fd)
{
	switch (kind % DESCRIPTOR_KINDS) {
	case DESCRIPTOR_MEMORY:
		return fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
	case DESCRIPTOR_EVENT:
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	case DESCRIPTOR_PAGE:
		return descriptor_make_page(4096);
	case DESCRIPTOR_PIPE:
		return descriptor_make_pipe();
	case DESCRIPTOR_SOCKET:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	default:
		return descriptor_make_full();
	}
}

/* Like the kernel, gives the receiver of a message as many as it has room for, and closes the
 * others. None is left. */
static inline void descriptors_hand_over(struct msghdr *received, int *fds,
					 unsigned int *num_fds)
{
	size_t room = received->msg_controllen > CMSG_LEN(0) ?
		      (received->msg_controllen - CMSG_LEN(0)) / sizeof(int) : 0;
	unsigned int count = *num_fds < room ? *num_fds : (unsigned int)room;
	struct cmsghdr *control = CMSG_FIRSTHDR(received);

	received->msg_flags = count < *num_fds ? MSG_CTRUNC : 0;
	received->msg_controllen = count ? CMSG_SPACE(count * sizeof(int)) : 0;
	if (count) {
		control->cmsg_level = SOL_SOCKET;
		control->cmsg_type = SCM_RIGHTS;
		control->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(control), fds, count * sizeof(int));
	}
	while (*num_fds > count)
		close(fds[--*num_fds]);
	*num_fds = 0;
}

/* How many are open, of those with low numbers. One call of the system counts them. */
static inline unsigned int descriptor_count(void)
{
	static const struct timespec at_once;
	struct pollfd watched[DESCRIPTORS_WATCHED];
	unsigned int count = DESCRIPTORS_WATCHED;

	for (int i = 0; i < DESCRIPTORS_WATCHED; i++)
		watched[i] = (struct pollfd){ .fd = i };
	ppoll(watched, DESCRIPTORS_WATCHED, &at_once, NULL);
	for (int i = 0; i < DESCRIPTORS_WATCHED; i++)
		count -= (watched[i].revents & POLLNVAL) != 0;
	return count;
}

/* True once so many are open, which threads that close unwanted ones delay. */
static inline bool descriptors_become(unsigned int count)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int pauses = 0;

	while (descriptor_count() != count && pauses++ < 10000)
		nanosleep(&pause, NULL);
	return descriptor_count() == count;
}

#endif
