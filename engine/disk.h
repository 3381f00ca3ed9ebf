/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk, a request to it, and how a command set (virtio-blk, virtio-scsi)
 * turns one into the other's descriptors: data only.
 *
 * A request belongs to the thread that owns its queue.
 */
#ifndef DISK_H
#define DISK_H

#include <stdint.h>

#include "api.h"
#include "virtq.h"

enum request_type {
	REQUEST_READ,
	REQUEST_WRITE,
	REQUEST_FLUSH,
	REQUEST_DISCARD,
	REQUEST_WRITE_ZEROES,
	REQUEST_GET_ID,
};

/* One read, write ... of any length. What the device cannot take at once goes
 * to it in parts, one after the other, over the same chain. */
struct request {
	void *user;            /* the caller's */
	char *buffer;          /* of the next part, in shared memory */
	uint64_t offset_bytes; /* of the next part */
	uint64_t left_bytes;   /* not yet submitted */
	uint32_t part_bytes;   /* in the part that is in flight */
	uint16_t chain;        /* constant */
	uint8_t type;          /* enum request_type */
	int error;             /* 0, or a positive errno once done */
};

/* Longest part: what fits into 32 bits with room to spare. */
#define DISK_MAX_PART_BYTES (1u << 30)

struct disk {
	struct device_info info;     /* as told by the back-end */
	uint64_t max_part_bytes;     /* of a read or write */
	uint32_t max_segment_bytes;
	uint32_t max_discard_part_bytes;
	uint32_t max_write_zeroes_part_bytes;
};

struct command_set {
	uint16_t request_bytes;  /* of a chain's request area */
	uint16_t response_bytes; /* of a chain's response area */
	/* Fills in what never changes in a chain. */
	void (*lay)(const struct disk *disk, struct virtq *vq, uint16_t chain);
	/* Fills in the next part of req, and takes it off what is left. The
	 * number of descriptors in use. */
	uint16_t (*prepare)(const struct disk *disk, struct virtq *vq,
			    struct request *req);
	/* How the part that came back went: 0, or a positive errno with a
	 * sentence. */
	int (*result)(const struct disk *disk, struct virtq *vq,
		      const struct request *req);
};

/* "read", "write" ... */
const char *disk_request_name(uint8_t type);
/* Fills one data descriptor a segment, from desc[0] on; their number. */
uint16_t disk_fill_segments(const struct disk *disk, struct vring_desc *desc,
			    const char *buffer, uint32_t bytes, uint16_t flags);

#endif
