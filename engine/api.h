/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Python and fio's glue see of the engine.
 *
 * This file is also cffi's cdef: it is read without its # lines, so it holds
 * declarations only, and its constants are enums. Functions return 0, a count
 * or a negative errno unless they say otherwise; error_message() then holds
 * one sentence for the calling thread. Sizes and offsets are in bytes.
 */
#ifndef API_H
#define API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- about this build (constant, any thread) --------------------------- */

/* Version of the engine, as in pyproject.toml. */
const char *engine_version(void);
/* fio's release as its binary says it ("fio-3.33"), and its interface number;
 * the engine serves exactly this release. */
const char *engine_fio_release(void);
int engine_fio_interface(void);
/* The SLEEPY_POLL baked in by make, in microseconds; 0: none. */
unsigned int engine_default_sleepy_poll_us(void);

/* ---- errors (of the calling thread) ------------------------------------ */

/* The sentence recorded by the last failure in this thread, or "". The text
 * belongs to the engine and lasts until the next failure in this thread. */
const char *error_message(void);

/* ---- devices ------------------------------------------------------------ */

enum device_type {
	DEVICE_AUTO = 0,
	DEVICE_BLK = 2,  /* virtio 1.2, 5: device ids */
	DEVICE_SCSI = 8,
};

enum hugepages {
	HUGEPAGES_AUTO = 0,
	HUGEPAGES_OFF = 1,
	HUGEPAGES_2M = 2,
	HUGEPAGES_1G = 3,
};

/* A choice that may be left to the engine. */
enum choice {
	CHOICE_AUTO = 0,
	CHOICE_ON = 1,
	CHOICE_OFF = 2,
};

struct memory;

/* What a caller wants. All zeros but the socket and connect_timeout_ms is a
 * sound beginning. */
struct device_config {
	const char *socket;          /* path; must outlive the call only */
	int type;                    /* enum device_type */
	int indirect;                /* enum choice */
	int event_idx;               /* enum choice */
	int hugepages;               /* enum hugepages */
	unsigned int num_queues;     /* request queues; 0: one */
	unsigned int queue_size;     /* entries, a power of two; 0: for depth */
	unsigned int depth;          /* requests in flight per queue; 0: 128 */
	unsigned int connect_timeout_ms;
	unsigned int scsi_target;
	unsigned int scsi_lun;
	bool scsi_address_set;       /* scsi_target and scsi_lun were chosen */
	size_t memory_bytes;         /* shared memory for I/O buffers */
	struct memory *memory;       /* shared with other devices, and outliving
	                              * this one; NULL: memory of its own */
	size_t max_request_bytes;    /* largest read or write; 0: 1 MiB */
};

/* What a back-end said of itself, and what was agreed on. */
struct device_info {
	int type;                    /* DEVICE_BLK or DEVICE_SCSI */
	bool read_only;
	bool can_flush;
	bool can_discard;
	bool can_write_zeroes;
	bool has_config;             /* configuration space could be read */
	bool writeback;              /* volatile write cache is on */
	uint64_t offered_features;   /* virtio feature bits */
	uint64_t features;           /* those negotiated */
	uint64_t offered_protocol;   /* vhost-user protocol feature bits */
	uint64_t protocol;
	uint64_t capacity_bytes;
	unsigned int block_size;     /* logical, in bytes */
	unsigned int physical_block_size;
	unsigned int optimal_io_size;   /* bytes; 0: none named */
	unsigned int max_queues;     /* request queues that the back-end has */
	unsigned int max_mem_slots;  /* memory regions that it takes */
	unsigned int size_max;       /* bytes in a segment; 0: no limit */
	unsigned int seg_max;        /* data segments in a request */
	uint64_t max_discard_bytes;
	unsigned int max_discard_segments;
	unsigned int discard_alignment; /* bytes */
	uint64_t max_write_zeroes_bytes;
	unsigned int max_write_zeroes_segments;
	unsigned int num_queues;     /* in use; 0 until started */
	unsigned int queue_size;     /* of each; 0 until started */
	unsigned int page_size;      /* of the shared memory; 0 until started */
	bool hugepages_short;        /* hugepages=auto had to take ordinary pages */
	char id[256];                /* virtio-blk id, or scsi vendor, product and
	                              * serial; "" until started */
};

/* A disk behind a virtio-scsi controller. */
struct disk_summary {
	unsigned int target;
	unsigned int lun;
	unsigned int block_size;
	unsigned int physical_exponent; /* physical block: block_size << this */
	uint64_t capacity_bytes;
	bool is_thin;
	char vendor[12];
	char product[20];
	char serial[64];
};

enum { DEVICE_MAX_DISKS = 64 };

struct device;

/* Connects to config->socket, negotiates features and reads the
 * configuration; no ring runs yet. Blocks for connect_timeout_ms at most.
 * -ENOENT, -ENOTSOCK, -ECONNREFUSED, -EACCES: the socket; -ETIMEDOUT: no
 * answer; -EPROTO: a wrong one; -ECONNRESET: a hang-up; -EOPNOTSUPP: a device
 * without what is asked for. On success *dev is the caller's to close. */
int device_open(struct device **dev, const struct device_config *config);
/* Shares memory, sets the rings up and starts them; for scsi, finds the disk.
 * Once a device. -ENODEV: no disk, or several and none was chosen. */
int device_start(struct device *dev);
/* Asks a started virtio-blk device for its id; virtio-scsi's is known from the
 * start. A device without one keeps "". Nothing may be in flight. */
void device_identify(struct device *dev);
/* virtio-scsi: the disks that device_start() found, also where it failed for
 * want of a choice. Fills in up to max; returns how many there are. */
unsigned int device_list_disks(const struct device *dev,
			       struct disk_summary *list, unsigned int max);
/* Stops what runs and frees dev; NULL is fine. */
void device_close(struct device *dev);
/* What is known of dev by now; any thread, but not during the calls above. */
void device_describe(const struct device *dev, struct device_info *info);

#endif
