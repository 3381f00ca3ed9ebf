/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Begins and ends a vhost-user connection; see vhost/user.h. */
#include "vhost/user.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/remedies.h"

void vhost_user_set_timeout(struct vhost_user *vu, unsigned int timeout_ms)
{
	vu->deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
}

static int explain_connect(const char *path, int code)
{
	struct stat status;

	if (code == ENOENT)
		return error_set(ENOENT, "%s: no such socket: start a back-end "
			"there, or name the socket of one that runs", path);
	if (code == ECONNREFUSED && !stat(path, &status) &&
	    !S_ISSOCK(status.st_mode))
		return error_set(ENOTSOCK, "%s is not a socket: name the Unix "
			"socket on which a vhost-user back-end listens", path);
	if (code == ECONNREFUSED)
		return error_set(code, "%s: nobody listens on this socket: "
			"start its back-end (again)", path);
	if (code == EACCES || code == EPERM)
		return error_set(EACCES, "%s: permission denied: this user may not "
			"connect to the socket: run as its owner or %s, or give "
			"this user the right to write to it (chmod, setfacl)", path,
			remedies.as_root);
	if (code == EAGAIN)
		return error_set(ETIMEDOUT, "%s: the back-end does not accept "
			"connections: it is busy or stopped", path);
	return error_set(code, "%s: cannot connect: %s", path, strerror(code));
}

/* A non-blocking connect() fails with EAGAIN while the backlog is full, so it is
 * retried until the deadline. */
static int connect_before(int fd, const struct sockaddr_un *address,
			  uint64_t deadline_ns)
{
	while (connect(fd, (const struct sockaddr *)address, sizeof(*address))) {
		if (errno != EAGAIN && errno != EINTR)
			return errno;
		if (!clock_left_ms(deadline_ns))
			return EAGAIN;
		poll(NULL, 0, 10);
	}
	return 0;
}

int vhost_user_connect(struct vhost_user *vu, const char *path,
		       unsigned int timeout_ms)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int code;

	memset(vu, 0, sizeof(*vu));
	vu->fd = -1;
	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(ENAMETOOLONG, "%s: the path of a Unix socket "
			"has at most %zu characters", path,
			sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	strcpy(vu->path, path);
	vhost_user_set_timeout(vu, timeout_ms);
	vu->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (vu->fd < 0)
		return error_set(errno, "%s: cannot make a socket: %s", path,
				 strerror(errno));
	code = connect_before(vu->fd, &address, vu->deadline_ns);
	if (!code)
		return 0;
	vhost_user_close(vu);
	return explain_connect(path, code);
}

/* Hanging up ends the connection even if a process that was forked in the meantime
 * has inherited the socket. */
void vhost_user_close(struct vhost_user *vu)
{
	if (vu->fd >= 0) {
		vhost_user_hang_up(vu);
		close(vu->fd);
	}
	vu->fd = -1;
	vu->is_dead = true;
}

bool vhost_user_is_gone(const struct vhost_user *vu)
{
	struct pollfd watched = { .fd = vu->fd, .events = POLLRDHUP };

	return poll(&watched, 1, 0) > 0;
}
