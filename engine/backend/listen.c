/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listens at a path. A socket that an earlier process left behind is replaced;
 * one that somebody listens on, or a file that is no socket, is not touched.
 * Control thread, at start.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "server.h"

enum { BACKLOG = 16 };

static int fill_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*path || strlen(path) >= sizeof(address->sun_path))
		return error_record(-ENAMETOOLONG,
				    "socket %s: a path has 1 to %zu bytes",
				    path, sizeof(address->sun_path) - 1);
	strcpy(address->sun_path, path);
	return 0;
}

static int remove_stale(const struct sockaddr_un *address)
{
	const char *path = address->sun_path;
	struct stat file;
	int fd, result;

	if (stat(path, &file) || !S_ISSOCK(file.st_mode))
		return error_record(-EEXIST,
				    "%s is there already and is no socket",
				    path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_record(-errno, "socket %s: %s", path,
				    strerror(errno));
	result = connect(fd, (const struct sockaddr *)address,
			 sizeof(*address));
	result = result ? -errno : 0;
	close(fd);
	if (result != -ECONNREFUSED)
		return error_record(-EADDRINUSE,
				    "socket %s: another process listens there",
				    path);
	return unlink(path) ? error_record(-errno, "socket %s: unlink: %s",
					   path, strerror(errno)) :
			      0;
}

static int bind_address(int fd, const struct sockaddr_un *address)
{
	const struct sockaddr *to = (const struct sockaddr *)address;
	int result;

	if (!bind(fd, to, sizeof(*address)))
		return 0;
	if (errno == EADDRINUSE) {
		result = remove_stale(address);
		if (result || !bind(fd, to, sizeof(*address)))
			return result;
	}
	return error_record(-errno, "socket %s: bind: %s", address->sun_path,
			    strerror(errno));
}

int listen_open(const char *path)
{
	struct sockaddr_un address;
	int fd, result = fill_address(&address, path);

	if (result)
		return result;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_record(-errno, "socket %s: %s", path,
				    strerror(errno));
	result = bind_address(fd, &address);
	if (!result && listen(fd, BACKLOG))
		result = error_record(-errno, "socket %s: listen: %s", path,
				      strerror(errno));
	if (!result)
		return fd;
	close(fd);
	return result;
}
