/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device is a connection, the result of its negotiation, shared memory, and
 * queues. This is the control path, from open to close (declared in api.h).
 *
 * Any thread may claim and release queues and allocate memory of a started
 * device; open, start and close belong to one thread. The I/O path is in
 * device/queue.h and takes no lock of this file.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <pthread.h>

#include "disk/request.h"
#include "memory/regions.h"
#include "device/changes.h"
#include "device/inflight.h"
#include "device/queue.h"
#include "device/reconnect.h"
#include "device/share_memory.h"
#include "vhost/channel.h"
#include "vhost/user.h"

struct device {
	struct device_config config; /* config.socket is vu.path */
	struct vhost_user vu;
	struct vhost_channel channel; /* of the back-end's requests */
	struct memory *memory;       /* config.memory, or own_memory */
	struct memory own_memory;
	struct memory early_memory;  /* of questions about the type */
	struct shared shared;        /* the parts of it that the back-end knows */
	struct disk disk;
	struct disk negotiated;      /* disk before the device was started */
	uint64_t told_bytes;         /* the capacity that the back-end told last */
	bool is_capacity_assumed;    /* the back-end did not tell it */
	const struct command_set *commands;
	struct inflight inflight;    /* of the rings that run */
	struct queue *queues;        /* first_queue + num_queues of them */
	bool *is_claimed;            /* per request queue */
	unsigned int num_queues;     /* request queues; 0 until started */
	unsigned int first_queue;    /* virtqueues before them: control, events */
	unsigned int num_open;       /* queues that were initialised */
	struct disk_summary *disks;  /* virtio-scsi: the disks that were found */
	unsigned int num_disks;
	struct reconnect reconnect;
	pthread_mutex_t lock;        /* guards is_claimed, reconnect, told_bytes, and
	                              * vu and channel after start */
	struct blocking *blocking;   /* library/blocking.c's; NULL unless attached */
};

/* Prepares an open device, which was stopped if it was started, for a start with
 * another config. Its type, ring features and address must be the same. After a failure,
 * the device is closed. */
int device_reopen(struct device *dev, const struct device_config *config);

/* Stops the rings; a part of device_close(). True if the back-end confirmed it, so
 * that it does not touch the memory any more. */
bool device_stop(struct device *dev);

/* Claims a queue for the calling thread. NULL, with a sentence, while all are
 * claimed. */
struct queue *device_claim_queue(struct device *dev);
/* No request may be in flight, unless the queue is abandoned. An abandoned queue is
 * not claimed again. */
void device_release_queue(struct device *dev, struct queue *queue);

/* Tells the back-end about the regions that were added to dev->memory since the last
 * time. After that, this device can use what another device of the same memory
 * allocated. */
int device_share_memory(struct device *dev);

/* False if device_learn() has nothing to do, whatever the address, as usual. */
bool device_may_learn(const struct device *dev);
/* If another device of the same memory has added the region of this memory, tells the
 * back-end of it, which blocks for connect_timeout_ms at most. Otherwise costs little. */
void device_learn(struct device *dev, const void *address, size_t size_bytes);
/* True if whole blocks can move between the device and this memory, for an operation.
 * Memory of the program is not unregistered before device_return(), with the bits that
 * were added to *lent. Any thread; no lock. */
bool device_lend(struct device *dev, const void *address, size_t size_bytes,
		 uint32_t *lent);
void device_return(struct device *dev, uint32_t lent);

/* virtio-scsi: resets the logical unit, so that the requests in flight come back.
 * Blocks for a second at most. */
int device_reset_unit(struct device *dev);

/* Sets the capacity for a back-end that does not tell it. If several callers set
 * different ones, the largest counts. Any thread. */
void device_assume_capacity(struct device *dev, uint64_t capacity_bytes);

/* For a process that was forked while the device was open: closes the descriptors
 * that it inherited, and leaves the device to the other process. */
void device_forget_inherited(struct device *dev);

/* True if the back-end takes memory only before its queues run. */
bool device_takes_memory_once(const struct device_info *info);

/* True once the back-end has hung up; records a sentence, which does not name the
 * socket. Does not block. */
bool device_is_gone(struct device *dev);

#endif
