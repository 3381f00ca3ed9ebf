/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies one block of a disk over another one in two ways: with calls that wait for
 * their result, and with operations that are collected later. It changes the disk.
 *
 *   cc copy_block.c $(pkg-config --cflags --libs pyfio-virtio) -o copy_block
 *   ./copy_block vhost.sock 0 4096
 */
#include <pyfio_virtio.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4096

static int fail(const char *what)
{
	fprintf(stderr, "copy_block: %s: %s\n", what, error_message());
	return 1;
}

/* The calls accept any memory, but memory from device_alloc() moves without a copy. */
static int copy_waiting(struct device *dev, uint64_t from, uint64_t to)
{
	char *block = device_alloc(dev, BLOCK_BYTES, BLOCK_BYTES);
	int64_t count;

	if (!block)
		return fail("no shared memory");
	count = device_read(dev, block, BLOCK_BYTES, from);
	if (count < 0)
		return fail("cannot read");
	if (device_write(dev, block, (size_t)count, to) < 0)
		return fail("cannot write");
	device_free(dev, block);
	return device_flush(dev) ? fail("cannot flush") : 0;
}

/* The thread could do other work between these calls. */
static int do_later(struct async *async, struct operation *op)
{
	if (async_submit(async, op))
		return fail("cannot submit");
	if (async_completed(async, 1, -1) < 1)
		return fail("an operation took too long");
	if (async_get_completed(async)->result < 0)
		return fail("an operation failed");
	return 0;
}

static int copy_later(struct device *dev, uint64_t from, uint64_t to)
{
	char block[BLOCK_BYTES];
	struct operation read = { .type = OPERATION_READ, .buffer = block,
				  .size_bytes = BLOCK_BYTES, .offset_bytes = from };
	struct operation write = { .type = OPERATION_WRITE, .buffer = block,
				   .size_bytes = BLOCK_BYTES, .offset_bytes = to };
	struct async *async;
	int failed;

	if (async_open(&async, dev))
		return fail("cannot open an async");
	failed = do_later(async, &read) || do_later(async, &write);
	async_close(async);
	return failed;
}

int main(int argc, char **argv)
{
	struct device_config config = { .connect_timeout_ms = 5000 };
	struct attach_options options = { .wait = WAIT_EVENT };
	struct device *dev;
	uint64_t from, to;
	int failed;

	if (argc != 4) {
		fprintf(stderr, "usage: copy_block SOCKET FROM TO (offsets in bytes)\n");
		return 2;
	}
	config.socket = argv[1];
	from = strtoull(argv[2], NULL, 0);
	to = strtoull(argv[3], NULL, 0);
	if (device_attach(&dev, &config, &options))
		return fail("cannot attach");
	failed = copy_waiting(dev, from, to) || copy_later(dev, from, to);
	device_detach(dev);
	return failed;
}
