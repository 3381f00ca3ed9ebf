/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client of the back-end that sends any messages with any descriptors, in any pieces, and
 * writes its shared memory between them.
 */
#include <errno.h>
#include <sys/socket.h>

#include "backend_bench.h"
#include "clock_stub.h"
#include "descriptors.h"
#include "protocol/protocol.h"

#define MEMORY_BYTES 65536

enum step {
	STEP_MESSAGE,
	STEP_POKE,  /* into the shared memory */
	STEP_SERVE,
	STEP_SLEEP,
	STEP_RESIZE,
	STEP_MESSAGE_WITH_FDS,
	STEPS
};

/* What the client has sent, and the back-end has not yet received. */
static struct {
	uint8_t bytes[sizeof(struct vhost_user_message) + 64];
	size_t size, received, at_once;
	int fds[VHOST_USER_MAX_FDS + 4];
	unsigned int num_fds;
} sent;

static struct {
	uint8_t *memory;
	int memory_fd;
} client;

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

/* ---- the socket ------------------------------------------------------------------- */

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	(void)fd, (void)flags;
	return (ssize_t)message->msg_iov->iov_len;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *received, int flags)
{
	size_t bytes = received->msg_iov->iov_len, left = sent.size - sent.received;

	(void)fd, (void)flags;
	if (!left) {
		errno = EAGAIN;
		return -1;
	}
	if (bytes > left)
		bytes = left;
	if (bytes > sent.at_once)
		bytes = sent.at_once;
	memcpy(received->msg_iov->iov_base, sent.bytes + sent.received, bytes);
	sent.received += bytes;
	descriptors_hand_over(received, sent.fds, &sent.num_fds);
	return (ssize_t)bytes;
}

/* ---- steps ------------------------------------------------------------------------ */

static void add_fds(struct input *input)
{
	unsigned int count = (unsigned int)input_take(input, 1) % (VHOST_USER_MAX_FDS + 4);

	while (count--) {
		int fd = descriptor_make((unsigned int)input_take(input, 1),
					 client.memory_fd);

		if (fd >= 0)
			sent.fds[sent.num_fds++] = fd;
	}
}

/* The header is right, except that bits of the first byte spoil it. */
static void write_message(struct input *input, unsigned int request)
{
	struct vhost_user_header header = { .request = request & 63, .flags = 1 };
	unsigned int bytes = (unsigned int)input_take(input, 2) % 512;

	if (request & 64)
		header.flags |= VHOST_USER_FLAG_NEED_REPLY;
	header.size = bytes;
	if (request & 128)
		input_copy(input, &header, sizeof(header));
	if (bytes > sizeof(sent.bytes) - sizeof(header))
		bytes = sizeof(sent.bytes) - sizeof(header);
	memcpy(sent.bytes, &header, sizeof(header));
	input_copy(input, sent.bytes + sizeof(header), bytes);
	sent.size = sizeof(header) + bytes;
	sent.received = 0;
}

/* Returns a negative errno if the back-end closes the connection. */
static int send_message(struct connection *connection, struct input *input, bool has_fds)
{
	unsigned int at_once = (unsigned int)input_take(input, 1);
	int result = 1;

	write_message(input, (unsigned int)input_take(input, 1));
	if (has_fds)
		add_fds(input);
	sent.at_once = at_once ? at_once : sizeof(sent.bytes);
	while (result > 0 && sent.received < sent.size) {
		result = connection_receive(connection);
		if (result > 0 && protocol_handle(connection))
			result = -EPROTO;
	}
	return result < 0 ? result : 0;
}

static void poke(struct input *input)
{
	size_t place = input_take(input, 2) % (MEMORY_BYTES - 256);

	input_copy(input, client.memory + place, input_take(input, 1));
}

static void resize(struct bench *bench, struct connection *connection,
		   struct input *input)
{
	struct disk *disk = &bench->device.disks[0];

	disk->bytes = input_take(input, 1) % (BENCH_DISK_BYTES / BENCH_BLOCK_BYTES) *
		      BENCH_BLOCK_BYTES;
	bench->device.ops->resized(&connection->session, disk);
	connection_config_changed(connection);
}

static int step(struct bench *bench, struct connection *connection, struct input *input)
{
	unsigned int kind = (unsigned int)input_take(input, 1) % STEPS;

	switch (kind) {
	case STEP_POKE:
		poke(input);
		return 0;
	case STEP_SERVE:
		bench_serve(bench);
		return 0;
	case STEP_SLEEP:
		time_pass_ns(input_take(input, 4));
		return 0;
	case STEP_RESIZE:
		resize(bench, connection, input);
		return 0;
	default:
		return send_message(connection, input, kind == STEP_MESSAGE_WITH_FDS);
	}
}

/* ---- one run ---------------------------------------------------------------------- */

static void make_memory(void)
{
	if (!client.memory) {
		client.memory_fd = descriptor_make_page(MEMORY_BYTES);
		client.memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
				     client.memory_fd, 0);
		if (client.memory == MAP_FAILED)
			abort();
	}
	memset(client.memory, 0, MEMORY_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct bench *bench = bench_begin(&input);
	struct connection_shared shared = { .device = &bench->device,
					    .workers = &bench->workers,
					    .faults = &bench->faults,
					    .statistics = &bench->statistics,
					    .log_fd = -1 };
	struct connection *connection;
	unsigned int open_before;

	make_memory();
	open_before = descriptor_count();
	connection = connection_open(&shared, 1, -1);
	if (!connection)
		abort();
	memset(&sent, 0, sizeof(sent));
	while (input.left && !step(bench, connection, &input))
		;
	protocol_close(connection);
	while (sent.num_fds)
		close(sent.fds[--sent.num_fds]);
	require(descriptors_become(open_before), "a client that left leaves nothing open");
	require(!bench->worker.ring_count, "a client that left leaves no ring");
	return 0;
}
