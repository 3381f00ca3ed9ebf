/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user clients: accepts them, serves their messages, and disconnects
 * them. The control thread enters it.
 *
 * No client delays another. Each event handles one message at most, nothing
 * waits for a client, and a client without a running ring is disconnected when
 * its place is needed.
 */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "protocol/protocol.h"
#include "base/error.h"
#include "base/given_fd.h"
#include "server/server.h"

enum {
	CLIENTS_MAX = 256,
	/* There are so many places even with few file descriptors. */
	CLIENTS_MIN = 8,
	/* File descriptors that are reserved for other uses. */
	OTHER_FILES = 256,
};

/* The places are so few that all clients together cannot use up the file
 * descriptors. */
static unsigned int count_places(const struct server *server)
{
	const rlim_t files_each = 3 * device_queue_count(&server->device) +
				  VHOST_USER_MAX_FDS + 2;
	struct rlimit files;
	rlim_t places;

	if (getrlimit(RLIMIT_NOFILE, &files) ||
	    files.rlim_cur > CLIENTS_MAX * files_each + OTHER_FILES)
		return CLIENTS_MAX;
	if (files.rlim_cur < OTHER_FILES)
		return CLIENTS_MIN;
	places = (files.rlim_cur - OTHER_FILES) / files_each;
	return places < CLIENTS_MIN ? CLIENTS_MIN : places;
}

static void allow_many_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	/* If it fails, there are only fewer places. */
	setrlimit(RLIMIT_NOFILE, &files);
}

void clients_start(struct server *server)
{
	if (server->own_process)
		allow_many_files();
	server->connections_max = count_places(server);
	server_update_listening(server);
}

/* ---- accepting ---------------------------------------------------------- */

/* Of the clients without a running ring, the one whose last event is oldest. */
static struct connection *find_idle(const struct server *server)
{
	struct connection *idle = NULL, *connection;

	for (connection = server->connections; connection;
	     connection = connection->next)
		if (!connection_is_served(connection) &&
		    (!idle || connection->last_event < idle->last_event))
			idle = connection;
	return idle;
}

static int make_place(struct server *server)
{
	struct connection *idle;

	if (server->connection_count < server->connections_max)
		return 0;
	idle = find_idle(server);
	if (!idle)
		return error_record(-EMFILE, "%u clients are connected already",
				    server->connection_count);
	log_line(server->log_fd,
		 "client %u is disconnected: another client needs its place, "
		 "and none of its rings runs",
		 idle->id);
	workers_pause(&server->workers);
	clients_drop(server, idle);
	workers_resume(&server->workers);
	return 0;
}

static int add_client(struct server *server, int fd)
{
	const struct connection_shared shared = {
		.device = &server->device,
		.workers = &server->workers,
		.faults = &server->faults,
		.statistics = &server->statistics,
		.log_fd = server->log_fd,
	};
	struct connection *connection;
	int result = make_place(server);

	if (result)
		return result;
	connection = connection_open(&shared, server->next_id + 1, fd);
	if (!connection)
		return -ENOMEM;
	server->next_id++;
	result = server_watch(server, fd, connection);
	if (result) {
		connection->fd = -1; /* the caller still owns it */
		protocol_close(connection);
		return result;
	}
	connection->last_event = ++server->events;
	connection->next = server->connections;
	server->connections = connection;
	server->connection_count++;
	server_update_listening(server);
	return 0;
}

void clients_accept(struct server *server)
{
	int fd = server_accept(server, server->listen_fd);

	if (fd < 0 || !add_client(server, fd))
		return;
	log_line(server->log_fd, "a client was refused: %s", error_sentence());
	given_fd_hang_up(fd);
}

/* ---- messages ----------------------------------------------------------- */

/* A client counts once it has sent a message. Programs also connect to find out
 * whether somebody listens. False if it connected in time, but begins too late. */
static bool count_client(struct server *server, const struct connection *connection)
{
	if (connection->message_count)
		return true;
	if (server->clients_max && server->clients_begun >= server->clients_max)
		return false;
	if (++server->clients_begun == server->clients_max)
		server_end_listening(server);
	return true;
}

/* The workers are parked only after a message is complete. */
void clients_serve(struct server *server, struct connection *connection)
{
	int result = connection_receive(connection);

	connection->last_event = ++server->events;
	if (!result)
		return;
	workers_pause(&server->workers);
	if (result > 0) {
		result = count_client(server, connection) ?
				 protocol_handle(connection) :
				 error_record(-ECONNREFUSED, "there were %u clients already",
					   server->clients_begun);
	}
	if (result) {
		if (result != -ENOTCONN && result != -ECONNRESET)
			log_line(server->log_fd, "client %u is disconnected: %s",
				 connection->id, error_sentence());
		clients_drop(server, connection);
	}
	workers_resume(&server->workers);
}

/* ---- disconnecting ------------------------------------------------------ */

/* The main thread of the process waits for this signal. */
static void end_if_all_left(struct server *server)
{
	const struct connection *connection = server->connections;

	while (connection && !connection->message_count)
		connection = connection->next;
	if (connection || !server->clients_max || !server->own_process ||
	    server->clients_begun < server->clients_max)
		return;
	log_line(server->log_fd, "the last of %u clients has left",
		 server->clients_max);
	kill(getpid(), SIGTERM);
}

void clients_drop(struct server *server, struct connection *connection)
{
	struct connection **link = &server->connections;

	while (*link != connection)
		link = &(*link)->next;
	*link = connection->next;
	server->connection_count--;
	server_unwatch(server, connection->fd);
	protocol_close(connection);
	server_update_listening(server);
	end_if_all_left(server);
}

void clients_drop_cut(struct server *server)
{
	struct connection *connection = server->connections;

	workers_pause(&server->workers);
	while (connection) {
		struct connection *next = connection->next;

		if (memory_was_cut(&connection->memory) ||
		    inflight_was_cut(&connection->inflight)) {
			log_line(server->log_fd,
				 "client %u is disconnected: its shared memory "
				 "was cut short",
				 connection->id);
			clients_drop(server, connection);
		}
		connection = next;
	}
	workers_resume(&server->workers);
}

/* ---- resizing ------------------------------------------------------------ */

unsigned int clients_resize(struct server *server, struct disk *disk,
			    uint64_t bytes)
{
	struct connection *connection;
	unsigned int told = 0;

	workers_pause(&server->workers);
	disk->bytes = bytes - bytes % disk->block_bytes;
	for (connection = server->connections; connection;
	     connection = connection->next) {
		bool knows = server->device.ops->resized(&connection->session,
							 disk);

		told += connection_config_changed(connection) || knows;
	}
	workers_resume(&server->workers);
	return told;
}
