/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listens at a path, and removes the socket's file at the end. A file that
 * exists at the path is never removed: if it is a socket without a listener,
 * another process may be about to listen on it. It is called at start and stop.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "server/server.h"

enum { BACKLOG = 128 };

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

static bool listens(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int failed = connect(fd, (const struct sockaddr *)address,
			     sizeof(*address));
	bool refused = failed && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return !refused;
}

static int refuse(const struct sockaddr_un *address, int code)
{
	const char *path = address->sun_path;
	struct stat file;

	if (code != EADDRINUSE)
		return error_record(-code, "socket %s: bind: %s", path,
				    strerror(code));
	if (lstat(path, &file) || !S_ISSOCK(file.st_mode))
		return error_record(-EEXIST,
				    "%s already exists and is not a socket",
				    path);
	if (listens(address))
		return error_record(-EADDRINUSE,
				    "socket %s: another process listens there",
				    path);
	return error_record(-EADDRINUSE,
			    "socket %s already exists, but nobody listens on "
			    "it; if it is left over, remove it: rm '%s'",
			    path, path);
}

static int bind_at(const struct sockaddr_un *address)
{
	int code, fd = socket(AF_UNIX,
			      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return error_record(-errno, "socket %s: %s", address->sun_path,
				    strerror(errno));
	if (!bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return fd;
	code = errno;
	close(fd);
	return refuse(address, code);
}

/* The parent process bound it, so the path belonged to the parent from the
 * beginning. */
static int take_over(int fd, const char *path)
{
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
		return error_record(-errno, "socket %s: descriptor %d: %s",
				    path, fd, strerror(errno));
	return fd;
}

static void note_file(struct socket_file *file, const char *path)
{
	struct stat found;

	*file = (struct socket_file){ 0 };
	if (!lstat(path, &found) && S_ISSOCK(found.st_mode))
		*file = (struct socket_file){ found.st_dev, found.st_ino };
}

int listen_open(const char *path, int bound_fd, struct socket_file *file)
{
	struct sockaddr_un address;
	int fd, result = fill_address(&address, path);

	if (result)
		return result;
	fd = bound_fd ? take_over(bound_fd, path) : bind_at(&address);
	if (fd < 0)
		return fd;
	note_file(file, path);
	if (!listen(fd, BACKLOG))
		return fd;
	result = error_record(-errno, "socket %s: listen: %s", path,
			      strerror(errno));
	listen_remove(path, file);
	close(fd);
	return result;
}

void listen_remove(const char *path, const struct socket_file *file)
{
	struct socket_file now;

	note_file(&now, path);
	if (now.inode && now.inode == file->inode && now.device == file->device)
		unlink(path);
}
