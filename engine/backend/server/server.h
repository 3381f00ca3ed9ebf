/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The back-end as a whole: the device, its storage, its workers, and the
 * control thread that listens, speaks vhost-user with each client, and takes
 * commands.
 *
 * Everything here belongs to the control thread, under `lock`, which a caller
 * from another thread takes too (commands in process). The request path never
 * takes it.
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
	/* How long nobody is accepted after a failure. */
	SERVER_REFUSAL_MS = 100,
};

/* Someone at the control socket, in the middle of a line. */
struct control_client {
	int fd; /* -1: free */
	uint64_t heard; /* the server's count of events at its last one */
	size_t length;
	char line[CONTROL_LINE_BYTES];
};

/* What bind() made at a path, to be told from a later file there: no other file
 * gets its number before the socket is closed. */
struct socket_file {
	dev_t device;
	ino_t inode; /* 0: there is none */
};

struct server {
	char *socket_path, *control_path; /* control_path may be NULL */
	int socket_fd;			  /* bound there already; 0: it is not */
	struct socket_file socket_file, control_file;
	int log_fd;
	bool own_process; /* so that dying may be real */
	bool dead;	  /* the fault "die" was played in process */

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
	bool refusing;	/* accepting failed; until refusal_end_ns */
	uint64_t refusal_end_ns;
	uint64_t events; /* of clients, counted */
	struct connection *connections;
	unsigned int connection_count, connections_max, next_id;
	struct control_client control_clients[CONTROL_CLIENTS_MAX];
};

/* Everything but the sockets and the thread is set up by the caller. */
int server_start(struct server *server);
void server_stop(struct server *server);

/* watch.c: what the control thread watches, and who may come. */

/* Watches an fd on behalf of whatever `owner` is. */
int server_watch(struct server *server, int fd, void *owner);
/* To be called before the fd is closed: a process that was forked meanwhile
 * still holds it, and its events would go to an owner that is gone. */
void server_unwatch(struct server *server, int fd);

/* Accepts a client of either socket: a new fd, or -1. */
int server_accept(struct server *server, int listen_fd);
/* After clients have come or gone. */
void server_update_listening(struct server *server);
/* Later than refusal_end_ns, clients are accepted again. */
void server_end_refusal(struct server *server);

/* clients.c: those who speak vhost-user. */

void clients_start(struct server *server);
/* An event at the socket, or of one client. */
void clients_accept(struct server *server);
void clients_serve(struct server *server, struct connection *connection);
/* Workers paused: sends one away. */
void clients_drop(struct server *server, struct connection *connection);
/* Sends those away that took away memory that they share. */
void clients_drop_cut(struct server *server);
/* Changes the size of a disk and tells every client. Under the lock. */
void clients_resize(struct server *server, struct disk *disk, uint64_t bytes);

/* control.c: commands, by the socket or in process. */

/* Carries out one line; the answer is one line, without its end. Under the
 * lock. */
void control_command(struct server *server, const char *line, char *answer,
		     size_t room);
/* An event at the control socket or one of its clients. */
void control_accept(struct server *server);
void control_read(struct server *server, struct control_client *client);
void control_close(struct server *server, struct control_client *client);

/* listen.c: a Unix socket at a path. Refuses a path at which something lies,
 * whatever it is. `bound_fd`, if it is not 0, is a socket that was bound there
 * already. An fd, or a negative errno. */
int listen_open(const char *path, int bound_fd, struct socket_file *file);
/* Removes the socket's file, unless another has taken its place. Before the
 * socket is closed. */
void listen_remove(const char *path, const struct socket_file *file);

#endif
