/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control thread: its loop, the requests of workers to it, and its start
 * and stop. clients.c has the clients, control.c the commands, and all of these
 * use watch.c.
 *
 * It takes one event at a time, so no event can remain for a connection that
 * was closed. Everything that workers read is changed between workers_pause()
 * and workers_resume().
 */
#include "server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/caller.h"
#include "protocol/connection.h"
#include "base/error.h"
#include "memory/guard.h"

/* ---- requests of workers ------------------------------------------------ */

/* All rings are marked broken, so that held requests are not completed. */
static void die(struct server *server)
{
	struct connection *connection;
	unsigned int i;

	if (server->own_process)
		raise(SIGKILL);
	workers_pause(&server->workers);
	for (connection = server->connections; connection;
	     connection = connection->next)
		for (i = 0; i < connection->ring_count; i++)
			connection->rings[i].broken = true;
	server_unwatch(server, server->listen_fd);
	close(server->listen_fd);
	server->listen_fd = -1;
	server->dead = true;
	while (server->connections)
		clients_drop(server, server->connections);
	workers_resume(&server->workers);
}

static void take_alarm(struct server *server)
{
	struct workers *workers = &server->workers;
	uint64_t counter, bytes;

	if (read(workers->alarm_fd, &counter, sizeof(counter)) < 0)
		return;
	if (shared_read(&workers->die_wanted) && !server->dead)
		die(server);
	bytes = __atomic_exchange_n(&workers->shrink_wanted, 0,
				    __ATOMIC_RELAXED);
	if (bytes && bytes < server->device.disks[0].bytes)
		clients_resize(server, &server->device.disks[0], bytes);
	if (server->own_process)
		clients_drop_cut(server);
}

/* ---- the loop ----------------------------------------------------------- */

static bool is_control_client(const struct server *server, const void *owner)
{
	return owner >= (const void *)server->control_clients &&
	       owner < (const void *)(server->control_clients +
				      CONTROL_CLIENTS_MAX);
}

static void handle_event(struct server *server, void *owner)
{
	if (owner == &server->stop_fd)
		server->stopping = true;
	else if (owner == &server->listen_fd)
		clients_accept(server);
	else if (owner == &server->workers.alarm_fd)
		take_alarm(server);
	else if (owner == &server->control_fd)
		control_accept(server);
	else if (is_control_client(server, owner))
		control_read(server, owner);
	else
		clients_serve(server, owner);
}

static void *server_run(void *argument)
{
	struct server *server = argument;
	struct epoll_event event;

	while (!server->stopping) {
		int count = epoll_wait(server->epoll_fd, &event, 1,
				       server->refusing ? SERVER_REFUSAL_MS : -1);

		pthread_mutex_lock(&server->lock);
		if (count == 1)
			handle_event(server, event.data.ptr);
		if (unlikely(server->refusing))
			server_end_refusal(server);
		pthread_mutex_unlock(&server->lock);
	}
	caller_end();
	return NULL;
}

/* ---- start and stop ----------------------------------------------------- */

static int open_control(struct server *server)
{
	if (!server->control_path)
		return 0;
	server->control_fd = listen_open(server->control_path, 0,
					 &server->control_file);
	if (server->control_fd < 0)
		return server->control_fd;
	return server_watch(server, server->control_fd, &server->control_fd);
}

/* The control socket is first, so a program that finds the disk served can give
 * commands. */
static int open_sockets(struct server *server)
{
	int result = open_control(server);

	if (result)
		return result;
	server->listen_fd = listen_open(server->socket_path, server->socket_fd,
					&server->socket_file);
	if (server->listen_fd < 0)
		return server->listen_fd;
	clients_start(server);
	return 0;
}

static int open_events(struct server *server)
{
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->stop_fd = eventfd(0, EFD_CLOEXEC);
	server->workers.alarm_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->epoll_fd < 0 || server->stop_fd < 0 ||
	    server->workers.alarm_fd < 0)
		return error_record(-errno, "control thread: %s",
				    strerror(errno));
	if (server_watch(server, server->stop_fd, &server->stop_fd))
		return -errno;
	return server_watch(server, server->workers.alarm_fd,
			    &server->workers.alarm_fd);
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void close_sockets(struct server *server)
{
	unsigned int i;

	if (server->listen_fd >= 0)
		listen_remove(server->socket_path, &server->socket_file);
	if (server->control_fd >= 0)
		listen_remove(server->control_path, &server->control_file);
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++)
		control_close(server, &server->control_clients[i]);
	close_if_open(server->listen_fd);
	close_if_open(server->control_fd);
	close_if_open(server->stop_fd);
	close_if_open(server->workers.alarm_fd);
	close_if_open(server->epoll_fd);
	pthread_mutex_destroy(&server->lock);
}

int server_start(struct server *server)
{
	unsigned int i;
	int result;

	server->listen_fd = server->control_fd = -1;
	pthread_mutex_init(&server->lock, NULL);
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++)
		server->control_clients[i].fd = -1;
	result = open_events(server);
	if (!result && server->own_process)
		guard_start(server->workers.alarm_fd);
	if (!result)
		result = open_sockets(server);
	if (!result)
		result = -pthread_create(&server->thread, NULL, server_run,
					 server);
	if (!result)
		return 0;
	close_sockets(server);
	return result;
}

void server_stop(struct server *server)
{
	const uint64_t one = 1;

	while (write(server->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(server->thread, NULL);
	workers_pause(&server->workers);
	while (server->connections)
		clients_drop(server, server->connections);
	workers_resume(&server->workers);
	caller_end();
	close_sockets(server);
}
