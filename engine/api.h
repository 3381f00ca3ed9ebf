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

/* The C library exports what is declared here, and nothing else. */
#ifdef ENGINE_LIBRARY
#pragma GCC visibility push(default)
#endif

/* ---- about this build (constant, any thread) --------------------------- */

/* Version of the engine, as in pyproject.toml. */
const char *engine_version(void);
/* fio's release as its binary says it ("fio-3.33"), and its interface number;
 * the engine serves exactly this release. Not in the C library. */
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

/* ---- memory that the back-end can reach --------------------------------- */

/* Memory for device_config.memory: it outlives the devices that use it, and
 * buffers in it serve all of them. hugepages: enum hugepages. NULL: none. */
struct memory *memory_create(int hugepages);
/* From now on one more memory_destroy() is needed. Any thread. */
void memory_keep(struct memory *memory);
/* Destroys it if nobody else keeps it: then no device may use it any more, and
 * its buffers are gone. Any thread; NULL is fine. What a back-end that hung up or
 * hangs writes later goes where nobody sees it. */
void memory_destroy(struct memory *memory);
/* As device_free(), also when the device is closed already. Any thread. */
void memory_free(struct memory *memory, void *address);

/* For I/O buffers of a started device: whole blocks in it move without a
 * copy. alignment is a power of two. More memory is shared as it is needed
 * and the back-end has slots for it. NULL, with a sentence, if there is none.
 * Any thread. */
void *device_alloc(struct device *dev, size_t size_bytes, size_t alignment);
/* address came from device_alloc(), or is NULL. Any thread. Memory that a back-end
 * may still write to, for an operation that failed, is not allocated again before
 * the back-end has given it back. */
void device_free(struct device *dev, void *address);
/* Shares memory of the program's own with a started device: size_bytes at
 * address, which are mapped (MAP_SHARED) from fd at file_offset_bytes; all three
 * are whole pages. It must stay mapped, and the file must not shrink, until the
 * device is closed; fd is not needed any more. Other devices, also those of the
 * same struct memory, do not know it. Any thread. -EINVAL; -ENOSPC: no slot is
 * left; -EREMOTEIO: the back-end refused it. What fails changes nothing. */
int device_register_memory(struct device *dev, void *address, size_t size_bytes,
			   int fd, uint64_t file_offset_bytes);

/* ---- a disk for ordinary programs ---------------------------------------- */

/*
 * The calls of this section are for any number of threads at once. They take
 * any bytes at any offset in any memory; whole blocks in memory of the section
 * above move without a copy. Threads that write different bytes of one block
 * at the same time both keep what they wrote.
 *
 * When the back-end goes away, or stands still for request_timeout_ms, calls
 * fail; they do not hang.
 *
 * Memory of the section above that an operation reads into or writes from belongs
 * to the back-end while it moves whole blocks. A call that fails with -ETIMEDOUT,
 * -EIO or -ECANCELED leaves it there: the back-end may still write to it until it
 * has carried the operation out, or until device_detach() has stopped it. So do
 * not use such memory again, but free it and allocate other; of memory that you
 * registered, keep it mapped until then. All other memory is yours at once.
 */

/* How the threads that use a device wait for it. All zeros is fine. */
struct attach_options {
	const char *wait;                /* event, busy, sleepy ...; NULL: event */
	unsigned int sleepy_poll_us;     /* wait=sleepy; 0: 50 */
	unsigned int request_timeout_ms; /* without progress; 0: 30,000 */
};

/* Opens and starts a device and makes it ready for the calls below. */
int device_attach(struct device **dev, const struct device_config *config,
		  const struct attach_options *options);
/* Ends the calls of all threads, and what is in flight: with -ECANCELED, as what
 * begins later. Any thread. */
void device_shutdown(struct device *dev);
/* Closes it; no thread may be in a call, and each async closed. NULL is fine. */
void device_detach(struct device *dev);

/* As pread(2) and pwrite(2): the number of bytes moved, fewer than asked for
 * only at the end of the device; -ENOSPC for a write that begins behind it. */
int64_t device_read(struct device *dev, void *buffer, size_t size_bytes,
		    uint64_t offset_bytes);
int64_t device_write(struct device *dev, const void *buffer, size_t size_bytes,
		     uint64_t offset_bytes);
/* What was written before is on stable storage after it. */
int device_flush(struct device *dev);
/* The bytes are not needed any more; of blocks in part nothing changes.
 * -EOPNOTSUPP: the device does not know how to. */
int device_discard(struct device *dev, uint64_t offset_bytes, uint64_t size_bytes);
/* Writes zeroes, whether the device knows how to or not. */
int device_write_zeroes(struct device *dev, uint64_t offset_bytes,
			uint64_t size_bytes);

/* ---- the same, without waiting --------------------------------------------- */

enum operation_type {
	OPERATION_READ = 0,
	OPERATION_WRITE = 1,
	OPERATION_DISCARD = 2,
	OPERATION_WRITE_ZEROES = 3,
	OPERATION_FLUSH = 4,
};

/* The caller's; it and the buffer stay until it was collected, also when it was
 * cancelled or took too long. */
struct operation {
	int type;              /* enum operation_type */
	void *buffer;          /* to read into or to write from */
	size_t size_bytes;
	uint64_t offset_bytes;
	void *user;            /* not looked at */
	int64_t result;        /* once collected: as the calls above return it */
};

/* Operations in flight, on one queue of the device; a program that wants all
 * queues opens as many. Any thread may make the calls. */
struct async;

int async_open(struct async **async, struct device *dev);
/* Ends the calls of other threads that wait: with -ECANCELED, as what is submitted
 * later. Any thread. */
void async_shutdown(struct async *async);
/* Cancels what is in flight, and leaves its memory to the back-end (see above).
 * No thread may be in a call. NULL is fine. */
void async_close(struct async *async);

/* Begins op. 0: it will be collected, whatever becomes of it. */
int async_submit(struct async *async, struct operation *op);
/* Waits until min operations can be collected, or all that are in flight, or
 * timeout_ms have passed (-1: for ever); looks at the ring at least once. Their
 * number. Operations that made no progress for request_timeout_ms end with
 * -ETIMEDOUT; if the back-end still has memory of theirs, they are overdue, and
 * collected once it has given it back. -ETIMEDOUT: only overdue ones are in
 * flight. A call that finds nothing else in flight waits for these as well, but
 * not with -1. */
int async_completed(struct async *async, unsigned int min, int timeout_ms);
/* The next one that completed, or NULL. If it failed, error_message() says
 * why. */
struct operation *async_get_completed(struct async *async);
/* The next one that became overdue, each once, or NULL; error_message() says so.
 * It is not collected by this, and it and its buffer stay. */
struct operation *async_get_overdue(struct async *async);
/* Gives op up: unless it is done already it is collected with -ETIMEDOUT, once
 * the back-end has given back memory of its. The back-end may still carry it
 * out. */
void async_cancel(struct async *async, struct operation *op);
/* An eventfd that is readable when operations have completed or become overdue
 * since it was last read. From the first call on, a thread of the engine's looks for
 * completions. Belongs to async; closing that makes it readable first. */
int async_fd(struct async *async);

#ifdef ENGINE_LIBRARY
#pragma GCC visibility pop
#endif

#endif
