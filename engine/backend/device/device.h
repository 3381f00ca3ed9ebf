/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual device: the interface of a kind of device (virtio-blk or
 * virtio-scsi), the device that all clients share, and the state that belongs
 * to one client (its session).
 *
 * The control thread creates and changes these while the workers are parked.
 * The operations marked "Worker" run in workers, on the request path.
 */
#ifndef BACKEND_DEVICE_H
#define BACKEND_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/chain.h"
#include "storage/disk.h"
#include "device/profile.h"
#include "ring/ring.h"

enum {
	DEVICE_TARGETS_MAX = 8,
	DEVICE_LUNS_MAX = 16,
	DEVICE_DISKS_MAX = DEVICE_TARGETS_MAX * DEVICE_LUNS_MAX,
	/* Messages with a ring's fd have 8 bits for its index. */
	DEVICE_QUEUES_MAX = 256,
};

enum operation_kind {
	OPERATION_READ,
	OPERATION_WRITE,
	OPERATION_FLUSH,
	OPERATION_DISCARD,
	OPERATION_WRITE_ZEROES,
	OPERATION_IDENTIFY, /* virtio-blk: GET_ID */
	OPERATION_COMMAND,  /* virtio-scsi: any other command */
	OPERATION_TASK,	    /* virtio-scsi: task management */
	OPERATION_UNKNOWN,
	OPERATION_KINDS
};

/* One request. */
struct operation {
	enum operation_kind kind;
	uint64_t sector;     /* its first sector, of 512 bytes; 0: none */
	uint64_t data_bytes; /* that it moves or covers */
	/* Set when it was carried out. */
	uint32_t used_bytes;
	bool failed;
	uint64_t tag; /* virtio-scsi */
	uint32_t lun; /* virtio-scsi: target << 16 | lun */
	struct postponed *later; /* NULL: it may wait */
};

/* Whether a request was not carried out, because it would wait. */
static inline bool is_postponed(const struct operation *what)
{
	return unlikely(what->later != NULL) && what->later->is_set;
}

struct device {
	const struct device_ops *ops;
	const struct profile *profile;
	struct disk disks[DEVICE_DISKS_MAX]; /* target * lun_count + lun */
	unsigned int disk_count;
	unsigned int target_count, lun_count;
	unsigned int request_queues;
	unsigned int ring_size_max;
	uint32_t size_max, seg_max; /* 0: no limit */
	uint32_t discard_sectors_max, discard_segments_max;
	bool has_no_flush; /* it has no discard either */
};

struct session {
	struct device *device;
	uint64_t features; /* negotiated */
	bool writeback;	   /* virtio-blk, CONFIG_WCE */
	uint32_t cdb_bytes, sense_bytes; /* virtio-scsi */
	/* virtio-scsi: the pending unit attention of each disk, ASC << 8 |
	 * ASCQ. Workers write it too, so it is atomic. */
	uint16_t attention[DEVICE_DISKS_MAX];
	bool events_missed; /* virtio-scsi: an event found no buffer */
	/* The client's rings, for task management. */
	struct ring *rings;
	unsigned int ring_count;
};

/* Answers that a request gets on demand. Only virtio-scsi has those after
 * ANSWER_ERROR. */
enum answer {
	ANSWER_USUAL,
	ANSWER_ERROR,     /* as after a medium error */
	ANSWER_BUSY,      /* the disk has the status BUSY */
	ANSWER_FULL,      /* the disk has the status TASK SET FULL */
	ANSWER_NOT_TAKEN, /* the controller is busy */
	ANSWER_RECOVERED, /* it is carried out, and the disk reports a RECOVERED ERROR */
};

struct device_ops {
	const char *name;
	unsigned int first_request_queue;
	unsigned int event_queue; /* DEVICE_QUEUES_MAX: there is none */
	bool has_config_messages; /* GET_CONFIG and SET_CONFIG */
	bool can_be_busy;	  /* see enum answer */

	uint64_t (*features)(const struct device *device);
	void (*open_session)(struct session *session);
	/* Fills the configuration space and returns its size in bytes. */
	unsigned int (*get_config)(const struct session *session, void *space);
	/* Carries out a driver's write. Returns 0 or a negative errno. */
	int (*set_config)(struct session *session, unsigned int offset,
			  const void *data, unsigned int bytes);
	/* Reports a disk's new size to the driver by the device's own means.
	 * False if it has none. */
	bool (*resized)(struct session *session, struct disk *disk);

	/* Worker: describes a request without consuming its chain. */
	void (*describe)(const struct session *session,
			 const struct chain *chain, struct operation *what);
	/* Worker: carries out a request, unless what->later says that it would wait.
	 * A helper (serve/helpers.h) may carry it out too, without what->later. */
	void (*serve)(struct session *session, const struct ring *ring,
		      struct chain *chain, struct operation *what);
	/* Worker: ends a read or write that was postponed. The chain is whole again. */
	void (*finish)(struct session *session, struct chain *chain, int result,
		       struct operation *what);
	/* Worker: gives a request an answer other than the usual one. */
	void (*answer)(struct session *session, const struct ring *ring,
		       struct chain *chain, enum answer answer,
		       struct operation *what);
};

static inline unsigned int device_queue_count(const struct device *device)
{
	return device->ops->first_request_queue + device->request_queues;
}

#endif
