/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies a disk to another one with calls that wait for their result.
 *
 *   cc copy_blocking.c $(pkg-config --cflags --libs pyfio-virtio) -o copy_blocking
 *   ./copy_blocking source.sock target.sock
 */
#include "disks.h"

#define BUFFER_BYTES (1 << 20)

static int copy(const struct disks *disks, char *buffer)
{
	uint64_t offset = 0;

	while (offset < disks->bytes) {
		int64_t count, written;

		/* Like pread(2), it returns less than was asked for at the end. */
		count = pyfio_device_read(disks->source, buffer, BUFFER_BYTES, offset);
		if (count < 0)
			return fail("cannot read");
		if (!count)
			break;
		written = pyfio_device_write(disks->target, buffer, (size_t)count, offset);
		if (written < 0)
			return fail("cannot write");
		offset += (uint64_t)written;
	}
	if (pyfio_device_flush(disks->target))
		return fail("cannot flush");
	printf("%" PRIu64 " bytes copied\n", offset);
	return 0;
}

int main(int argc, char **argv)
{
	struct disks disks;
	char *buffer;
	int failed;

	if (argc != 3) {
		fprintf(stderr, "usage: copy_blocking SOURCE_SOCKET TARGET_SOCKET\n");
		return 2;
	}
	if (disks_open(&disks, argv[1], argv[2]))
		return 1;
	/* The calls accept any memory, but both back-ends can reach this one. */
	buffer = pyfio_device_alloc(disks.source, BUFFER_BYTES, 0);
	failed = buffer ? copy(&disks, buffer) : fail("no shared memory");
	pyfio_device_free(disks.source, buffer);
	disks_close(&disks);
	return failed;
}
