/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kicks and calls; see base/eventfd.h. */
#include "base/eventfd.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"

int eventfd_open(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return error_set(errno, "cannot make an eventfd: %s",
				 strerror(errno));
	return fd;
}

int eventfd_kick(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return error_set(errno, "cannot kick the back-end: %s",
				 strerror(errno));
	return 0;
}

/* The back-end shares the open file and may change its flags, so the read itself asks
 * not to wait. Linux before 5.12 cannot do that and obeys the flags. */
uint64_t eventfd_take(int fd)
{
	uint64_t count = 0;
	struct iovec part = { &count, sizeof(count) };

	if (preadv2(fd, &part, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP &&
	    read(fd, &count, sizeof(count)) < 0)
		return 0;
	return count;
}
