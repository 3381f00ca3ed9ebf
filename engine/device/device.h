/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device: its connection, what was negotiated, its shared memory and its
 * queues, from open to close (declared in api.h). The control path.
 *
 * Any thread may claim and release queues and allocate memory of a started
 * device; open, start and close belong to one thread. The I/O path is
 * device/queue.h's, and takes no lock of this file.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <pthread.h>

#include "disk/request.h"
#include "memory/regions.h"
#include "device/queue.h"
#include "device/share_memory.h"
#include "vhost/user.h"

struct device {
	struct device_config config; /* config.socket is vu.path */
	struct vhost_user vu;
	struct memory *memory;       /* config.memory, or own_memory */
	struct memory own_memory;
	struct shared shared;        /* what of it the back-end knows */
	struct disk disk;
	bool is_capacity_assumed;    /* the back-end told none */
	const struct command_set *commands;
	struct queue *queues;        /* first_queue + num_queues of them */
	bool *is_claimed;            /* per request queue */
	unsigned int num_queues;     /* request queues; 0 until started */
	unsigned int first_queue;    /* virtqueues before them: control, events */
	unsigned int num_open;       /* of queues */
	struct disk_summary *disks;  /* that discovery found; virtio-scsi */
	unsigned int num_disks;
	pthread_mutex_t lock;        /* guards is_claimed, and vu after start */
	struct blocking *blocking;   /* library/blocking.c's; NULL unless attached */
};

/* Part of device_close(): stops the rings. True if the back-end agreed: then
 * it does not touch memory any more. */
bool device_stop(struct device *dev);

/* A queue for the calling thread, or NULL while all are claimed (a sentence
 * names their number). */
struct queue *device_claim_queue(struct device *dev);
/* No request may be in flight, unless the queue is abandoned: then it stays
 * out of use. */
void device_release_queue(struct device *dev, struct queue *queue);

/* Tells the back-end of regions that dev->memory got since it was last told:
 * what another device of the same memory allocated can then be used here. */
int device_share_memory(struct device *dev);

/* True if whole blocks can move between the device and this memory. Any thread;
 * no lock. */
bool device_reaches(const struct device *dev, const void *address, size_t size_bytes);

/* virtio-scsi: resets the logical unit, so that what is in flight comes back.
 * Blocks for a second at most. */
int device_reset_unit(struct device *dev);

/* For a back-end that does not say how large its disk is: what the caller knows;
 * of several callers the one who knows of most. Any thread. */
void device_assume_capacity(struct device *dev, uint64_t capacity_bytes);

/* In a process that was forked while the device was open: closes what it got of
 * the device, and leaves the device to the other process. */
void device_forget_inherited(struct device *dev);

/* True once the back-end has hung up; records the sentence, without the
 * socket. Does not block. */
bool device_is_gone(struct device *dev);

#endif
