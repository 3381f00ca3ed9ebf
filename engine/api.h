/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface of the engine for Python, for fio's hooks and for the C library, whose
 * own interface is library/pyfio_virtio.h.
 *
 * This file is also cffi's cdef: cffi reads it without its # lines, so it holds
 * only declarations, and its constants are enums. Unless a comment says otherwise,
 * a function returns 0, a count or a negative errno. After a negative errno,
 * error_message() returns one sentence for the calling thread. Sizes and offsets
 * are in bytes.
 */
#ifndef API_H
#define API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#if 0 /* cffi reads no # lines, so it finds this; it is that of <sys/uio.h> */
struct iovec { void *iov_base; size_t iov_len; };
#endif

/* ---- about this build (constant, any thread) --------------------------- */

/* Version of the engine, as in pyproject.toml. */
const char *engine_version(void);
/* What the fio that the engine is built for says of its version, and the number of its
 * engine interface. No other release can load the engine. Not in the C library. */
const char *engine_fio_release(void);
int engine_fio_interface(void);
/* The SLEEPY_POLL that the engine was built with, in microseconds; 0: none. */
unsigned int engine_default_sleepy_poll_us(void);

/* ---- errors (of the calling thread) ------------------------------------ */

/* The sentence that the last failure in this thread recorded, or "". The engine
 * owns the text, and keeps it until the next failure in this thread. */
const char *error_message(void);

/* ---- ways of waiting for completions ------------------------------------- */

enum wait_kind {
	WAIT_DEFAULT = 0,  /* adaptive; sleepy in a build with SLEEPY_POLL */
	WAIT_EVENT = 1,    /* asks for a call and blocks on the eventfd */
	WAIT_BUSY = 2,     /* polls without a pause */
	WAIT_SLEEPY = 3,   /* sleeps between two looks */
	WAIT_ADAPTIVE = 4, /* finds the best way by trials */
};

/* The longest sleep between two looks, so that it fits into 32 bits of nanoseconds. */
enum { WAIT_MAX_SLEEPY_POLL_US = 1000000 };

/* Returns "default", "event", "busy", "sleepy" or "adaptive"; NULL if kind is none of
 * these. */
const char *wait_name(int kind);
/* Returns the enum wait_kind with this name; -EINVAL if there is none. */
int wait_named(const char *name);

/* ---- devices ------------------------------------------------------------ */

enum device_type {
	DEVICE_AUTO = 0,
	DEVICE_BLK = 2,  /* device IDs of virtio 1.2, 5 */
	DEVICE_SCSI = 8,
};

enum hugepages {
	HUGEPAGES_AUTO = 0,
	HUGEPAGES_OFF = 1,
	HUGEPAGES_2M = 2,
	HUGEPAGES_1G = 3,
};

/* CHOICE_AUTO leaves the choice to the engine. */
enum choice {
	CHOICE_AUTO = 0,
	CHOICE_ON = 1,
	CHOICE_OFF = 2,
};

struct memory;

/* How a caller wants the device. Every member but socket can be left at zero. */
struct device_config {
	const char *socket;          /* path; the engine copies it */
	int type;                    /* enum device_type */
	int indirect;                /* enum choice */
	int event_idx;               /* enum choice */
	int hugepages;               /* enum hugepages */
	unsigned int num_queues;     /* request queues; 0: one */
	unsigned int queue_size;     /* entries, a power of two; 0: fits depth */
	unsigned int depth;          /* requests in flight per queue; 0: 128 */
	unsigned int connect_timeout_ms; /* 0: 5000 */
	unsigned int scsi_target;
	unsigned int scsi_lun;
	bool scsi_address_set;       /* false: target and LUN are not used */
	size_t memory_bytes;         /* shared memory for I/O buffers */
	struct memory *memory;       /* may be shared with other devices, and must
	                              * outlive this one; NULL: the device's own */
	size_t max_request_bytes;    /* largest read or write; 0: 1 MiB */
	unsigned int reconnect_timeout_ms; /* 0: a back-end that is gone stays gone */
};

/* What the back-end reported, and what was negotiated. */
struct device_info {
	int type;                    /* DEVICE_BLK or DEVICE_SCSI */
	bool read_only;
	bool can_flush;
	bool can_discard;
	bool can_write_zeroes;
	bool has_config;             /* the configuration space could be read */
	bool writeback;              /* the volatile write cache is on */
	uint64_t offered_features;   /* virtio feature bits */
	uint64_t features;           /* the negotiated ones */
	uint64_t offered_protocol;   /* vhost-user protocol feature bits */
	uint64_t protocol;
	uint64_t capacity_bytes;
	unsigned int block_size;     /* logical, in bytes */
	unsigned int physical_block_size;
	unsigned int optimal_io_size;   /* bytes; 0: not reported */
	unsigned int max_queues;     /* request queues that the back-end has */
	unsigned int max_mem_slots;  /* memory regions that it accepts */
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
	bool hugepages_short;        /* hugepages=auto fell back to ordinary pages */
	char id[256];                /* virtio-blk: its ID, "" until device_identify()
	                              * or device_attach(); virtio-scsi: vendor,
	                              * product and serial, "" until started */
};

/* How often the back-end of a device hung up and came back. */
struct device_reconnects {
	uint64_t count;
	uint64_t replayed;        /* requests that the next back-end was given */
	uint64_t away_ns;         /* in all: from a hang-up until the rings ran again */
	uint64_t longest_away_ns;
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

/* Connects to config->socket, negotiates features and reads the configuration
 * space; no ring runs yet. Blocks for connect_timeout_ms at most. Returns -EINVAL if
 * config or its socket is NULL, -ENOENT,
 * -ENOTSOCK, -ECONNREFUSED or -EACCES if the socket cannot be connected to,
 * -ETIMEDOUT if the back-end does not answer, -EPROTO if its answer is wrong,
 * -ECONNRESET if it hangs up, and -EOPNOTSUPP if the device lacks something that
 * config asks for. On success the caller must close *dev. */
int device_open(struct device **dev, const struct device_config *config);
/* Shares memory, sets up the rings and starts them. For virtio-scsi it also finds
 * the disk, and returns -ENODEV if there is none, or if there are several and
 * config chooses none. Called at most once for each device. */
int device_start(struct device *dev);
/* Asks a started virtio-blk device for its ID; it stays "" if the device has none, or
 * does not answer within connect_timeout_ms, or 2 s if that is longer. Does nothing if
 * device_attach() has asked, or for virtio-scsi, where device_start() reads it. No
 * request may be in flight. */
void device_identify(struct device *dev);
/* virtio-scsi: lists the disks that device_start() found, also if it failed because
 * there are several. Fills in up to max; returns how many there are. */
unsigned int device_list_disks(const struct device *dev,
			       struct disk_summary *list, unsigned int max);
/* Stops the rings, disconnects and frees dev. dev may be NULL. */
void device_close(struct device *dev);
/* Describes dev as far as it is known. Any thread, but not during the calls above. */
void device_describe(const struct device *dev, struct device_info *info);
/* Counts the reconnects of dev. Any thread, but not during the calls above. */
void device_count_reconnects(struct device *dev, struct device_reconnects *reconnects);

/* ---- memory that the back-end can reach --------------------------------- */

/* Creates memory for device_config.memory. It must outlive the devices that use it,
 * and buffers in it can be used with all of them. hugepages is an enum hugepages.
 * Returns NULL on failure. */
struct memory *memory_create(int hugepages);
/* Takes a reference: one more memory_destroy() is needed. Any thread. */
void memory_keep(struct memory *memory);
/* Drops a reference. The last one frees the memory and all buffers in it, so no
 * device may use it any more. A back-end that still has it mapped can write to it
 * later, but this process does not see that. Any thread. memory may be NULL. */
void memory_destroy(struct memory *memory);
/* Like device_free(), but also works after the device is closed. Any thread. */
void memory_free(struct memory *memory, void *address);

/* Allocates an I/O buffer for a started device: whole blocks move between it and
 * the device without a copy. alignment is a power of two; 0: 4096. The engine shares
 * more memory when it is needed, as long as the back-end accepts more regions.
 * Returns NULL, with a sentence, if there is no memory. Any thread. */
void *device_alloc(struct device *dev, size_t size_bytes, size_t alignment);
/* address came from device_alloc(), or is NULL. If the back-end may still write to
 * the memory for an operation that failed, the memory is not allocated again before
 * the back-end has given it back. Any thread. */
void device_free(struct device *dev, void *address);
/* Shares the program's own memory with a started device: size_bytes at address,
 * which are mapped (MAP_SHARED) from fd at file_offset_bytes. All three must be
 * multiples of the page size. The memory must stay mapped, and the file must not
 * shrink, until it is unregistered or the device closed; fd can be closed after this
 * call. No other
 * device can use the memory, not even one with the same struct memory. Any thread.
 * Returns -EINVAL; -ENOSPC if no further region can be shared; or -EREMOTEIO if the
 * back-end refused it. A call that fails changes nothing. */
int device_register_memory(struct device *dev, void *address, size_t size_bytes,
			   int fd, uint64_t file_offset_bytes);
/* Ends device_register_memory() for the memory that begins at address, which can be
 * unmapped after that. Returns -EINVAL if no such memory is registered; -EBUSY while the
 * back-end has it for an operation, also for one that was given up; -EOPNOTSUPP if the
 * back-end cannot give up memory while it runs; or the error of a back-end that refuses
 * (-EREMOTEIO), hangs or hangs up. If a call fails, the memory must stay mapped; after
 * -ETIMEDOUT, -ECONNRESET or -EPROTO, data in it is copied, because the back-end may have
 * given it up. Any thread. */
int device_unregister_memory(struct device *dev, void *address);

/* ---- a disk for ordinary programs ---------------------------------------- */

/*
 * The functions from here on do what those with the same names and the prefix pyfio_
 * do, which library/pyfio_virtio.h describes: their errors, threads and units.
 */

/* How threads wait for the device. Every member can be left at zero. */
struct attach_options {
	int wait;                        /* enum wait_kind */
	unsigned int sleepy_poll_us;     /* WAIT_SLEEPY; 0: 50; WAIT_MAX_SLEEPY_POLL_US at
	                                  * most. WAIT_DEFAULT becomes WAIT_SLEEPY if it
	                                  * is not 0 */
	unsigned int request_timeout_ms; /* without progress; 0: 30000 */
};

int device_attach(struct device **dev, const struct device_config *config,
		  const struct attach_options *options);
void device_shutdown(struct device *dev);
void device_detach(struct device *dev);

int64_t device_read(struct device *dev, void *buffer, size_t size_bytes,
		    uint64_t offset_bytes);
int64_t device_write(struct device *dev, const void *buffer, size_t size_bytes,
		     uint64_t offset_bytes);
int64_t device_readv(struct device *dev, const struct iovec *iov, unsigned int iov_count,
		     uint64_t offset_bytes);
int64_t device_writev(struct device *dev, const struct iovec *iov,
		      unsigned int iov_count, uint64_t offset_bytes);
int device_flush(struct device *dev);
int device_discard(struct device *dev, uint64_t offset_bytes, uint64_t size_bytes);
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

enum operation_flag {
	OPERATION_FUA = 1,
	OPERATION_BARRIER = 2,
};

/* The same as struct pyfio_operation, so a new member goes to the end of both. An older
 * program's structure may end before it: the engine must not read such a member unless
 * struct_size covers it. It does not use struct_size otherwise. */
struct operation {
	size_t struct_size;
	int type;               /* enum operation_type */
	unsigned int flags;     /* enum operation_flag, together */
	void *buffer;
	size_t size_bytes;
	uint64_t offset_bytes;
	void *user;
	int64_t result;
	const struct iovec *iov;
	unsigned int iov_count;
	unsigned int reserved;
};

/* Submits operations to one queue of the device and collects them. A program that
 * wants to use all queues opens one async for each. Any thread may make the calls. */
struct async;

int async_open(struct async **async, struct device *dev);
void async_shutdown(struct async *async);
void async_close(struct async *async);

int async_submit(struct async *async, struct operation *op);
int async_submit_many(struct async *async, struct operation *const *ops,
		      unsigned int count);
int async_completed(struct async *async, unsigned int min, int timeout_ms);
int async_collect(struct async *async, struct operation **ops, unsigned int max);
struct operation *async_get_completed(struct async *async);
struct operation *async_get_overdue(struct async *async);
void async_cancel(struct async *async, struct operation *op);
int async_fd(struct async *async);
/* For programs that look for completions themselves while they are busy, such as an event
 * loop. After the first call, the thread behind async_fd() looks only from a call until the
 * next operation completes or is overdue, which makes the eventfd readable once. It is
 * readable at once if there is one already. Any thread. */
void async_arm(struct async *async);

#endif
