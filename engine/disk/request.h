/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk, a request to it, and the interface of a command set (virtio-blk or
 * virtio-scsi), which turns a request into descriptors.
 *
 * A request belongs to the thread that owns its queue.
 */
#ifndef DISK_H
#define DISK_H

#include <stdint.h>

#include "api.h"
#include "ring/virtq.h"

enum request_type {
	/* These have an address ... */
	REQUEST_READ,
	REQUEST_WRITE,
	REQUEST_DISCARD,
	REQUEST_WRITE_ZEROES,
	/* ... these have none. */
	REQUEST_FLUSH,
	REQUEST_GET_ID,       /* virtio-blk */
	REQUEST_COMMAND,      /* virtio-scsi: a command that returns data */
	REQUEST_RESET_UNIT,   /* virtio-scsi, control queue */
};

/* A read, a write, or another operation, of any length. If it is too large for the
 * device, it is sent in parts, one after the other, in the same chain. */
struct request {
	void *user;            /* the caller's */
	char *buffer;          /* of the next part's data, in shared memory */
	uint64_t offset_bytes; /* of the next part */
	uint64_t left_bytes;   /* not yet submitted */
	uint32_t part_bytes;   /* in the part that is in flight */
	uint16_t chain;        /* constant */
	uint8_t type;          /* enum request_type */
	uint8_t tries;         /* 0: the part in flight was sent once; see queue.c */
	int error;             /* 0, or a positive errno once done */
};

/* The longest part of a read or write, and of another operation. They fit into 32
 * bits. */
#define DISK_MAX_PART_BYTES (1u << 30)
#define DISK_MAX_RANGE_BYTES (1u << 31)

struct disk {
	struct device_info info;     /* as told by the back-end */
	uint64_t end_bytes;          /* see disk_end() */
	uint32_t allowed_types;      /* a bit for each enum request_type */
	uint64_t max_part_bytes;     /* of a read or write */
	uint32_t max_segment_bytes;
	uint32_t block_shift;        /* block size as a power of two */
	uint32_t max_discard_part_bytes;
	uint32_t max_write_zeroes_part_bytes;
	/* virtio-scsi */
	uint8_t scsi_lun[8];         /* address of the logical unit */
	unsigned int max_target;
	uint64_t max_transfer_bytes;
};

/* Results of a command set that are not an errno: the part was not carried out, for a
 * reason that has passed (AGAIN) or that passes after a while (LATER). It must be sent
 * again, at once or after a pause. */
#define DISK_TRY_AGAIN (-1)
#define DISK_TRY_LATER (-2)

struct command_set {
	uint16_t request_bytes;  /* of a chain's request area */
	uint16_t response_bytes; /* of a chain's response area */
	/* Fills in the part of a chain that never changes. */
	void (*lay)(const struct disk *disk, struct virtq *vq, uint16_t chain);
	/* Fills in the next part of req, and subtracts it from left_bytes. Returns
	 * the number of descriptors in use. */
	uint16_t (*prepare)(const struct disk *disk, struct virtq *vq,
			    struct request *req);
	/* Makes the chain's response one that the back-end has not written. */
	void (*unanswer)(struct virtq *vq, uint16_t chain);
	/* The result of the part that came back: 0, or with a sentence a positive
	 * errno, DISK_TRY_AGAIN or DISK_TRY_LATER. */
	int (*result)(const struct disk *disk, struct virtq *vq,
		      const struct request *req);
};

/* Offsets of programs and of files are signed, so no disk is larger. Because of this
 * limit, the sum of an offset on the disk and a length on it fits into 64 bits, which
 * library/transfer.c and the command sets rely on. */
#define DISK_MAX_BYTES ((uint64_t)INT64_MAX)

/* Calculates the size of a disk from the number of blocks that the back-end told. 0,
 * or -EPROTO with a sentence if it is larger than DISK_MAX_BYTES. */
int disk_capacity(uint64_t blocks, uint32_t block_size, uint64_t *bytes);

/* What lies beyond the end fails. It is info.capacity_bytes, unless the disk shrank while it
 * is in use. Any thread. */
static inline uint64_t disk_end(const struct disk *disk)
{
	return __atomic_load_n(&disk->end_bytes, __ATOMIC_RELAXED);
}
void disk_set_end(struct disk *disk, uint64_t end_bytes);
/* True if the range is not wholly on the disk. */
static inline bool disk_ends_before(const struct disk *disk, uint64_t offset_bytes,
				    uint64_t size_bytes)
{
	uint64_t end = disk_end(disk);

	return offset_bytes > end || size_bytes > end - offset_bytes;
}
/* Records a sentence about that, and returns a negative errno. */
int disk_refuse_range(const struct disk *disk, uint8_t type, uint64_t offset_bytes,
		      uint64_t size_bytes);

/* "read", "write" ... */
const char *disk_request_name(uint8_t type);
/* Makes the next part of req, of most_bytes at most, the one in flight.
 * Returns its size. */
uint32_t disk_take_part(struct request *req, uint64_t most_bytes);
/* Undoes disk_take_part(): the part is the next one again. */
void disk_give_part_back(struct request *req);
/* Fills in one descriptor for each data segment of the part in flight, from desc[0]
 * on; the last one has last_flags. Returns their number. */
uint16_t disk_fill_segments(const struct disk *disk, struct vring_desc *desc,
			    struct request *req, uint16_t flags,
			    uint16_t last_flags);

/* Calculates the limits that the I/O path uses from info. 0, or -EPROTO with a
 * sentence if they leave no room for a single block. */
int disk_derive_limits(struct disk *disk);

#endif
