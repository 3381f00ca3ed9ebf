/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watches file descriptors and accepts clients, for the control thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "server/server.h"

int server_watch(struct server *server, int fd, void *owner)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = owner };

	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return error_record(-errno, "epoll: %s", strerror(errno));
	return 0;
}

void server_unwatch(struct server *server, int fd)
{
	epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* ---- accepting ---------------------------------------------------------- */

void server_end_listening(struct server *server)
{
	server_unwatch(server, server->listen_fd);
	listen_remove(server->socket_path, &server->socket_file);
	close(server->listen_fd);
	server->listen_fd = -1;
	server->listening = false;
}

/* With a one-client profile, other clients wait until the first has left. */
void server_update_listening(struct server *server)
{
	bool is_taken = server->device.profile->one_client &&
			server->connection_count;
	bool wanted = !is_taken && !server->refusing;

	if (server->listen_fd < 0 || wanted == server->listening)
		return;
	if (wanted)
		server_watch(server, server->listen_fd, &server->listen_fd);
	else
		server_unwatch(server, server->listen_fd);
	server->listening = wanted;
}

int server_accept(struct server *server, int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 || errno == EAGAIN || errno == EINTR ||
	    errno == ECONNABORTED)
		return fd;
	/* There are too few descriptors or too little memory. epoll would
	 * report the waiting client again at once, so the sockets are not
	 * watched. */
	log_line(server->log_fd, "no client can be accepted now: %s",
		 strerror(errno));
	server->refusing = true;
	server->refusal_end_ns = now_ns() + SERVER_REFUSAL_MS * UINT64_C(1000000);
	server_update_listening(server);
	if (server->control_fd >= 0)
		server_unwatch(server, server->control_fd);
	return fd;
}

void server_end_refusal(struct server *server)
{
	if (now_ns() < server->refusal_end_ns)
		return;
	server->refusing = false;
	server_update_listening(server);
	if (server->control_fd >= 0)
		server_watch(server, server->control_fd, &server->control_fd);
}
