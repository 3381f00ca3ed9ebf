/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies a disk to another one with many operations in flight. One thread submits them
 * in batches and waits in the library.
 *
 *   cc copy_async.c $(pkg-config --cflags --libs pyfio-virtio) -o copy_async
 *   ./copy_async source.sock target.sock
 */
#include "pieces.h"

/* Waits for a read, or for a write if no read is in flight. */
static int wait_for_one(struct pieces *pieces)
{
	struct pyfio_async *async = pieces->num_reads ? pieces->source : pieces->target;

	if (pyfio_async_completed(async, 1, -1) < 0)
		return fail("cannot wait");
	/* With 0 it only looks whether writes have completed. */
	if (pyfio_async_completed(pieces->target, 0, 0) < 0)
		return fail("cannot look");
	return 0;
}

static int copy(struct pieces *pieces)
{
	int failed = pieces_proceed(pieces);

	while (!failed && pieces_are_left(pieces))
		failed = wait_for_one(pieces) || pieces_proceed(pieces);
	return failed || pieces_finish(pieces);
}

int main(int argc, char **argv)
{
	struct pieces pieces;
	struct disks disks;
	int failed;

	if (argc != 3) {
		fprintf(stderr, "usage: copy_async SOURCE_SOCKET TARGET_SOCKET\n");
		return 2;
	}
	if (disks_open(&disks, argv[1], argv[2]))
		return 1;
	failed = pieces_open(&pieces, &disks);
	if (!failed) {
		failed = copy(&pieces);
		pieces_close(&pieces);
	}
	disks_close(&disks);
	return failed;
}
