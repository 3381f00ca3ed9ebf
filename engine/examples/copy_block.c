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

#define BLOCK_BYTES 4096

static int fail(const char *what)
{
	fprintf(stderr, "copy_block: %s: %s\n", what, pyfio_error_message());
	return 1;
}

static int move(struct pyfio_device *dev, char *block, uint64_t from, uint64_t to)
{
	int64_t count = pyfio_device_read(dev, block, BLOCK_BYTES, from);

	if (count < 0)
		return fail("cannot read");
	if (pyfio_device_write(dev, block, (size_t)count, to) < 0)
		return fail("cannot write");
	return pyfio_device_flush(dev) ? fail("cannot flush") : 0;
}

/* The calls accept any memory, but memory from pyfio_device_alloc() moves without a
 * copy. */
static int copy_waiting(struct pyfio_device *dev, uint64_t from, uint64_t to)
{
	char *block = pyfio_device_alloc(dev, BLOCK_BYTES, BLOCK_BYTES);
	int failed;

	if (!block)
		return fail("no shared memory");
	failed = move(dev, block, from, to);
	pyfio_device_free(dev, block);
	return failed;
}

/* The thread could do other work between these calls. */
static int do_later(struct pyfio_async *async, struct pyfio_operation *op)
{
	if (pyfio_async_submit(async, op))
		return fail("cannot submit");
	if (pyfio_async_completed(async, 1, -1) < 1)
		return fail("an operation took too long");
	if (!pyfio_async_get_completed(async) || op->result < 0)
		return fail("an operation failed");
	return 0;
}

static int copy_later(struct pyfio_device *dev, uint64_t from, uint64_t to)
{
	char block[BLOCK_BYTES];
	struct pyfio_operation op = { .struct_size = sizeof(op), .buffer = block,
				      .type = PYFIO_OPERATION_READ,
				      .size_bytes = BLOCK_BYTES, .offset_bytes = from };
	struct pyfio_async *async;
	int failed;

	if (pyfio_async_open(&async, dev))
		return fail("cannot open an async");
	failed = do_later(async, &op);
	if (!failed) {
		op.type = PYFIO_OPERATION_WRITE;
		op.size_bytes = (size_t)op.result;
		op.offset_bytes = to;
		failed = do_later(async, &op);
	}
	pyfio_async_close(async);
	return failed;
}

int main(int argc, char **argv)
{
	struct pyfio_device_config config = PYFIO_INIT(pyfio_device_config);
	struct pyfio_attach_options options = PYFIO_INIT(pyfio_attach_options);
	struct pyfio_device *dev;
	uint64_t from, to;
	int failed;

	if (argc != 4) {
		fprintf(stderr, "usage: copy_block SOCKET FROM TO (offsets in bytes)\n");
		return 2;
	}
	config.socket = argv[1];
	options.wait = PYFIO_WAIT_EVENT;
	from = strtoull(argv[2], NULL, 0);
	to = strtoull(argv[3], NULL, 0);
	if (pyfio_device_attach(&dev, &config, &options))
		return fail("cannot attach");
	failed = copy_waiting(dev, from, to) || copy_later(dev, from, to);
	pyfio_device_detach(dev);
	return failed;
}
