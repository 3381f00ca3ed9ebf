/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole back-end: the device, its storage, its workers, and the control
 * thread, which listens, speaks vhost-user with each client, and carries out
 * commands.
 *
 * The control thread uses all of this under `lock`. A thread of the program
 * that calls backend_command() takes the lock too. The request path never takes
 * it.
 */
#ifndef BACKEND_SERVER_H
#define BACKEND_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "device/device.h"
#include "serve/fault.h"
#include "serve/latency.h"
#include "storage/storage.h"
#include "serve/worker.h"

struct connection;

enum {
	CONTROL_CLIENTS_MAX = 8,
	CONTROL_LINE_BYTES = 512,
	/* After accept() failed, no client is accepted for so long. */
	SERVER_REFUSAL_MS = 100,
};

/* A client of the control socket, and the line that it has begun. */
struct control_client {
	int fd; /* -1: free */
	uint64_t last_event; /* server.events at its last event */
	size_t length;
	char line[CONTROL_LINE_BYTES];
};

/* The file that bind() made at a path. It differs from a later file at the
 * path, because its inode number is not used again while the socket is open. */
struct socket_file {
	dev_t device;
	ino_t inode; /* 0: there is none */
};

struct server {
	char *socket_path, *control_path; /* control_path may be NULL */
	char *explain_path; /* NULL: no times are taken */
	int socket_fd;			  /* bound to socket_path; 0: none */
	struct socket_file socket_file, control_file;
	int log_fd;
	bool own_process; /* nothing else runs in this process */
	bool dead;	  /* the fault "die" happened, but not own_process */

	struct device device;
	struct storage storage;
	struct latency latency;
	struct fault_set faults;
	struct workers workers;
	struct statistics statistics; /* of faults on messages */

	pthread_t thread;
	pthread_mutex_t lock;
	int epoll_fd, stop_fd, listen_fd, control_fd;
	bool stopping;
	bool listening; /* whether new clients are accepted now */
	bool refusing;	/* accept() failed; until refusal_end_ns */
	uint64_t refusal_end_ns;
	uint64_t events; /* counts events of all clients */
	struct connection *connections;
	unsigned int connection_count, connections_max, next_id;
	unsigned int clients_max;   /* are served in all; 0: any number */
	unsigned int clients_begun; /* sent a message */
	struct control_client control_clients[CONTROL_CLIENTS_MAX];
};

/* The caller has set up everything except the sockets and the thread. */
int server_start(struct server *server);
void server_stop(struct server *server);

/* watch.c: watches file descriptors and accepts clients. */

/* Watches an fd; its events are passed on with `owner`. */
int server_watch(struct server *server, int fd, void *owner);
/* Must be called before the fd is closed. A forked process may still have it
 * open, and then its events would go to an owner that was freed. */
void server_unwatch(struct server *server, int fd);

/* Accepts a client of either socket. Returns a new fd, or -1. */
int server_accept(struct server *server, int listen_fd);
/* Called after a client was added or removed. */
void server_update_listening(struct server *server);
/* Accepts no client from now on, and removes the socket. */
void server_end_listening(struct server *server);
/* After refusal_end_ns, accepts clients again. */
void server_end_refusal(struct server *server);

/* clients.c: the vhost-user clients. */

void clients_start(struct server *server);
/* Handle an event at the socket, or of one client. */
void clients_accept(struct server *server);
void clients_serve(struct server *server, struct connection *connection);
/* While the workers are parked: disconnects a client. */
void clients_drop(struct server *server, struct connection *connection);
/* Disconnects the clients that took shared memory away. */
void clients_drop_cut(struct server *server);
/* Changes the size of a disk and tells all clients that can be told. Returns
 * their number. */
unsigned int clients_resize(struct server *server, struct disk *disk, uint64_t bytes);

/* control.c: commands from the control socket or from the program. */

/* Carries out one line. The answer is one line without a newline. The caller
 * holds the lock. */
void control_command(struct server *server, const char *line, char *answer,
		     size_t room);
/* Handle an event at the control socket, or of one of its clients. */
void control_accept(struct server *server);
void control_read(struct server *server, struct control_client *client);
void control_close(struct server *server, struct control_client *client);

/* listen.c: listens on a Unix socket at a path. If a file exists at the path,
 * it is an error. `bound_fd`, if it is not 0, is a socket that is bound to the
 * path already. Returns an fd or a negative errno. */
int listen_open(const char *path, int bound_fd, struct socket_file *file);
/* Removes the socket's file, unless another file has replaced it. Must be
 * called before the socket is closed. */
void listen_remove(const char *path, const struct socket_file *file);

#endif
