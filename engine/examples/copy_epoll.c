/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies a disk to another one in an event loop of the program's own, which also ends
 * the copy in order after ^C. The loop waits in epoll_wait(2) and never in the library.
 *
 *   cc copy_epoll.c $(pkg-config --cflags --libs pyfio-virtio) -o copy_epoll
 *   ./copy_epoll source.sock target.sock
 */
#define _GNU_SOURCE
#include "pieces.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct loop {
	struct pieces pieces;
	int epoll_fd;
	int signal_fd;
};

static int fail_in_system(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

static int watch(const struct loop *loop, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return fail_in_system("cannot watch");
	return 0;
}

static int watch_async(const struct loop *loop, struct pyfio_async *async)
{
	int fd = pyfio_async_fd(async);

	return fd < 0 ? fail("no eventfd") : watch(loop, fd);
}

/* The number in an eventfd does not matter, because afterwards everything that has
 * completed is collected. */
static int clear(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return fail_in_system("cannot read an eventfd");
	return 0;
}

/* An overdue operation has had no answer for a long time, and the back-end still has
 * its memory. */
static int give_up_if_overdue(struct pieces *pieces)
{
	if (pyfio_async_get_overdue(pieces->source) ||
	    pyfio_async_get_overdue(pieces->target))
		return fail("a back-end hangs");
	return 0;
}

static int handle(struct loop *loop, const struct epoll_event *event)
{
	if (event->data.fd != loop->signal_fd)
		return clear(event->data.fd);
	fprintf(stderr, "interrupted\n");
	return 1;
}

/* One turn of the loop. */
static int turn(struct loop *loop)
{
	struct epoll_event events[3];
	int count = epoll_wait(loop->epoll_fd, events, 3, -1);

	if (count < 0 && errno != EINTR)
		return fail_in_system("cannot wait");
	for (int i = 0; i < count; i++)
		if (handle(loop, &events[i]))
			return 1;
	return pieces_proceed(&loop->pieces) || give_up_if_overdue(&loop->pieces);
}

static int copy(struct loop *loop)
{
	int failed = watch(loop, loop->signal_fd) ||
		     watch_async(loop, loop->pieces.source) ||
		     watch_async(loop, loop->pieces.target) ||
		     pieces_proceed(&loop->pieces);

	while (!failed && pieces_are_left(&loop->pieces))
		failed = turn(loop);
	return failed || pieces_finish(&loop->pieces);
}

static int copy_disks(struct loop *loop, const struct disks *disks)
{
	int failed;

	if (pieces_open(&loop->pieces, disks))
		return 1;
	failed = copy(loop);
	pieces_close(&loop->pieces);
	return failed;
}

/* The library's threads inherit that the signals are blocked, so these arrive at the
 * descriptor and nowhere else. */
static int loop_open(struct loop *loop)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &signals, NULL))
		return fail_in_system("cannot block signals");
	loop->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (loop->signal_fd < 0)
		return fail_in_system("no signalfd");
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd >= 0)
		return 0;
	fail_in_system("no epoll");
	close(loop->signal_fd);
	return 1;
}

int main(int argc, char **argv)
{
	struct disks disks;
	struct loop loop;
	int failed;

	if (argc != 3) {
		fprintf(stderr, "usage: copy_epoll SOURCE_SOCKET TARGET_SOCKET\n");
		return 2;
	}
	if (loop_open(&loop))
		return 1;
	failed = disks_open(&disks, argv[1], argv[2]);
	if (!failed) {
		failed = copy_disks(&loop, &disks);
		disks_close(&disks);
	}
	close(loop.epoll_fd);
	close(loop.signal_fd);
	return failed;
}
