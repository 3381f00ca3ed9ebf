/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all examples begin and end with: two disks, and memory that both can reach, so
 * that data moves from one to the other without being copied by this process.
 */
#ifndef DISKS_H
#define DISKS_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include <pyfio_virtio.h>

struct disks {
	struct pyfio_memory *memory;
	struct pyfio_device *source, *target;
	uint64_t bytes; /* of the source; the target has as many or more */
};

/* Prints what failed, and the sentence of the library that says why. */
static inline int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, pyfio_error_message());
	return 1;
}

static inline int disks_attach(struct pyfio_device **dev, struct pyfio_memory *memory,
			       const char *socket)
{
	struct pyfio_device_config config = PYFIO_INIT(pyfio_device_config);

	config.socket = socket;
	config.memory = memory;
	/* NULL: the default way of waiting. */
	return pyfio_device_attach(dev, &config, NULL) ? fail("cannot attach") : 0;
}

/* Learns the sizes, and refuses a target that is too small before it is changed. */
static inline int disks_compare(struct disks *disks)
{
	struct pyfio_device_info source = PYFIO_INIT(pyfio_device_info);
	struct pyfio_device_info target = PYFIO_INIT(pyfio_device_info);

	if (pyfio_device_describe(disks->source, &source) ||
	    pyfio_device_describe(disks->target, &target))
		return fail("cannot describe the disks");
	disks->bytes = source.capacity_bytes;
	if (target.capacity_bytes >= source.capacity_bytes)
		return 0;
	fprintf(stderr, "the target has only %" PRIu64 " bytes, and the source has %" PRIu64
		"\n", target.capacity_bytes, source.capacity_bytes);
	return 1;
}

/* Closes what was opened, also if disks_open() failed in its middle. */
static inline void disks_close(struct disks *disks)
{
	pyfio_device_detach(disks->target);
	pyfio_device_detach(disks->source);
	/* The devices use the memory, so it goes last. */
	pyfio_memory_destroy(disks->memory);
}

/* After a failure, everything is closed again. */
static inline int disks_open(struct disks *disks, const char *source,
			     const char *target)
{
	int failed;

	*disks = (struct disks){ .memory = pyfio_memory_create(PYFIO_HUGEPAGES_AUTO) };
	failed = !disks->memory ? fail("no shared memory") :
		 disks_attach(&disks->source, disks->memory, source) ||
		 disks_attach(&disks->target, disks->memory, target) ||
		 disks_compare(disks);
	if (failed)
		disks_close(disks);
	return failed;
}

#endif
