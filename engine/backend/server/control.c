/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands while the back-end runs. Each is a line, and so is its answer. They
 * come from the control socket or from a thread of the program. All functions
 * are called under the server's lock.
 *
 * A client of the control socket is disconnected if another user owns it, if it
 * does not read its answers, or if its place is needed and its last event is
 * the oldest.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/given_fd.h"
#include "base/quantity.h"
#include "base/text.h"
#include "server/server.h"

/* The longest answer is a list of FAULTS_MAX faults. */
enum { ANSWER_BYTES = 16384 };

/* ---- commands ----------------------------------------------------------- */

/* Adds up the counters of all workers. Requests in flight go on, and count when they are
 * done. */
static struct statistics add_statistics(struct server *server, const char **way)
{
	struct statistics total = server->statistics;
	unsigned int i;

	workers_pause_to_look(&server->workers);
	for (i = 0; i < server->workers.count; i++)
		statistics_add(&total, &server->workers.list[i].statistics);
	*way = postponed_way(&server->workers.list[0].postponed);
	workers_resume(&server->workers);
	return total;
}

static void print_disks(const struct device *device, struct text *text)
{
	unsigned int i;

	text_add(text, ", \"disk_bytes\": [");
	for (i = 0; i < device->disk_count; i++)
		text_add(text, "%s%" PRIu64, i ? ", " : "",
			 device->disks[i].bytes);
	text_add(text, "]");
}

static int command_stats(struct server *server, const char *words,
			 struct text *answer)
{
	static const char *const mode_names[] = { "poll", "event", "adaptive" };
	const char *way;
	struct statistics total = add_statistics(server, &way);

	(void)words;
	text_add(answer,
		 "{\"device\": \"%s\", \"profile\": \"%s\", \"serve\": \"%s\", "
		 "\"aio\": \"%s\", \"direct\": %s, \"clients\": %u, "
		 "\"clients_seen\": %u",
		 server->device.ops->name, server->device.profile->name,
		 mode_names[server->workers.mode],
		 way,
		 server->storage.direct_bytes ? "true" : "false",
		 server->connection_count, server->next_id);
	statistics_print(&total, answer);
	print_disks(&server->device, answer);
	text_add(answer, "}");
	return 0;
}

static int command_fault(struct server *server, const char *words,
			 struct text *answer)
{
	int result = 0;

	if (!*words) {
		faults_print(&server->faults, answer);
		return 0;
	}
	workers_pause(&server->workers);
	if (!strcmp(words, "clear"))
		faults_clear(&server->faults);
	else
		result = faults_add(&server->faults, server->device.ops, words);
	workers_resume(&server->workers);
	if (!result)
		text_add(answer, "ok");
	return result;
}

static int command_latency(struct server *server, const char *words,
			   struct text *answer)
{
	struct latency fresh;
	int result;

	if (!*words) {
		text_add(answer, "%s", latency_words(&server->latency));
		return 0;
	}
	result = latency_open(&fresh, words);
	if (result)
		return result;
	workers_pause(&server->workers);
	latency_close(&server->latency);
	server->latency = fresh;
	workers_resume(&server->workers);
	text_add(answer, "ok");
	return 0;
}

/* Reads the new size of a disk, which must keep at least one block. */
static int read_size(const struct server *server, const struct disk *disk,
		     const char *words, uint64_t *bytes)
{
	uint64_t most = server->storage.bytes / server->device.disk_count;
	int result = quantity_parse_bytes(words, bytes);

	if (result || (*bytes >= disk->block_bytes && *bytes <= most))
		return result;
	return error_record(-ERANGE, "this disk can have %u to %" PRIu64
			    " bytes", disk->block_bytes, most);
}

/* resize SIZE [DISK]: the disk's number counts from 0: target * luns + lun. */
static int command_resize(struct server *server, const char *words,
			  struct text *answer)
{
	char size_words[CONTROL_LINE_BYTES];
	unsigned int number = 0, told;
	struct disk *disk;
	uint64_t bytes;
	int result;

	if (sscanf(words, "%511s %u", size_words, &number) < 1)
		return error_record(-EINVAL, "write resize SIZE [DISK]");
	if (number >= server->device.disk_count)
		return error_record(-EINVAL,
				    "disk %u does not exist: there are %u disks",
				    number, server->device.disk_count);
	disk = &server->device.disks[number];
	result = read_size(server, disk, size_words, &bytes);
	if (result)
		return result;
	told = clients_resize(server, disk, bytes);
	text_add(answer,
		 "{\"bytes\": %" PRIu64 ", \"clients\": %u, \"told\": %u}",
		 disk->bytes, server->connection_count, told);
	return 0;
}

struct command {
	const char *name;
	int (*carry_out)(struct server *server, const char *words,
			 struct text *answer);
};

static const struct command commands[] = {
	{ "stats", command_stats },
	{ "fault", command_fault },
	{ "latency", command_latency },
	{ "resize", command_resize },
};

static int carry_out(struct server *server, const char *line,
		     struct text *answer)
{
	size_t name_length = strcspn(line, " ");
	const char *words = line + name_length + strspn(line + name_length, " ");
	unsigned int i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strlen(commands[i].name) == name_length &&
		    !strncmp(commands[i].name, line, name_length))
			return commands[i].carry_out(server, words, answer);
	return error_record(-EINVAL,
			    "use stats, fault, fault FAULT, fault clear, "
			    "latency, latency WORDS or resize SIZE [DISK]");
}

void control_command(struct server *server, const char *line, char *answer,
		     size_t room)
{
	struct text text = { answer, room, 0 };

	if (carry_out(server, line, &text))
		text_add(&text, "error: %s", error_sentence());
}

/* ---- the socket --------------------------------------------------------- */

void control_close(struct server *server, struct control_client *client)
{
	if (client->fd >= 0) {
		server_unwatch(server, client->fd);
		given_fd_hang_up(client->fd);
	}
	*client = (struct control_client){ .fd = -1 };
}

/* The socket's mode depends on the umask, so it is not relied on. */
static bool may_command(const struct server *server, int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(peer);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
	if (!peer.uid || peer.uid == geteuid())
		return true;
	log_line(server->log_fd, "user %u may not give commands", peer.uid);
	return false;
}

/* A free place, or the place of the client whose last event is oldest. */
static struct control_client *find_place(struct server *server)
{
	struct control_client *found = server->control_clients;
	unsigned int i;

	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *client = &server->control_clients[i];

		if (client->fd < 0)
			return client;
		if (client->last_event < found->last_event)
			found = client;
	}
	control_close(server, found);
	return found;
}

void control_accept(struct server *server)
{
	int fd = server_accept(server, server->control_fd);
	struct control_client *client;

	if (fd < 0)
		return;
	if (!may_command(server, fd)) {
		given_fd_hang_up(fd);
		return;
	}
	client = find_place(server);
	if (server_watch(server, fd, client)) {
		given_fd_hang_up(fd);
		return;
	}
	client->fd = fd;
	client->last_event = ++server->events;
}

static int answer_line(struct server *server, struct control_client *client,
		       const char *line)
{
	char answer[ANSWER_BYTES];
	size_t length;

	control_command(server, line, answer, sizeof(answer) - 1);
	length = strlen(answer);
	answer[length++] = '\n';
	return send(client->fd, answer, length, MSG_NOSIGNAL | MSG_DONTWAIT) ==
			       (ssize_t)length ?
		       0 :
		       -EPIPE;
}

/* Answers each complete line and keeps the rest. */
static int answer_lines(struct server *server, struct control_client *client)
{
	char *end;

	while ((end = memchr(client->line, '\n', client->length))) {
		size_t taken = end - client->line + 1;

		*end = '\0';
		if (answer_line(server, client, client->line))
			return -EPIPE;
		client->length -= taken;
		memmove(client->line, client->line + taken, client->length);
	}
	return client->length < sizeof(client->line) ? 0 : -EMSGSIZE;
}

void control_read(struct server *server, struct control_client *client)
{
	ssize_t count = given_fd_receive(client->fd, client->line + client->length,
					 sizeof(client->line) - client->length);

	client->last_event = ++server->events;
	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0) {
		control_close(server, client);
		return;
	}
	client->length += count;
	if (answer_lines(server, client))
		control_close(server, client);
}
