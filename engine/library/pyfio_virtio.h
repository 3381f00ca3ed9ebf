/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The C library libpyfio_virtio: reads and writes virtio disks behind vhost-user
 * sockets, with any number of threads.
 *
 * Return values. Unless a comment says otherwise, a function returns 0, a count or a
 * negative errno. After a negative errno, or after NULL where that means a failure,
 * pyfio_error_message() returns one sentence for the calling thread. If a pointer to a
 * device, memory or async is missing, it returns -EINVAL or NULL or does nothing.
 *
 * Threads. Any number of threads may make a call, unless its comment says otherwise.
 *
 * Units. Sizes and offsets are in bytes; other units are at the end of a name.
 *
 * Defaults. A number that is 0, and a pointer that is NULL, mean the default, wherever
 * something can be left out.
 *
 * Structures. Each structure that a program allocates begins with struct_size, so that
 * a later release can add members at its end. PYFIO_INIT() sets it and makes all other
 * members 0:
 *
 *   struct pyfio_device_config config = PYFIO_INIT(pyfio_device_config);
 *
 * In C, { .struct_size = sizeof(config), .socket = path } does the same.
 * Members called reserved must be 0. A value that no enumerator has is refused.
 *
 * Releases. pyfio_virtio_version.h has a macro for each release and for each function,
 * and says how a program and a library of different releases work together.
 */
#ifndef PYFIO_VIRTIO_H
#define PYFIO_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "pyfio_virtio_version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All other functions of the library are hidden. */
#ifdef PYFIO_BUILDS_LIBRARY
#pragma GCC visibility push(default)
#endif

/* ---- about the library ----------------------------------------------------- */

/* Tells the release of the library; the header may be of another one (PYFIO_VERSION).
 * Returns a text such as "0.1.0". */
const char *pyfio_version(void);

/* Tells why a call has failed. Returns the sentence that the last failure in the
 * calling thread recorded, or "". The library owns the text, and keeps it until the
 * next failure in this thread. */
const char *pyfio_error_message(void);

/* ---- ways of waiting for completions --------------------------------------- */

enum pyfio_wait {
	PYFIO_WAIT_DEFAULT = 0,  /* adaptive; sleepy in a build with SLEEPY_POLL */
	PYFIO_WAIT_EVENT = 1,    /* blocks on an eventfd */
	PYFIO_WAIT_BUSY = 2,     /* polls without a pause */
	PYFIO_WAIT_SLEEPY = 3,   /* polls, and sleeps between two looks */
	PYFIO_WAIT_ADAPTIVE = 4, /* finds the best way by trials */
};

/* Names a way of waiting. Returns "default", "event", "busy", "sleepy" or "adaptive";
 * NULL if wait is not an enum pyfio_wait. */
const char *pyfio_wait_name(int wait);
/* Finds a way of waiting by its name. Returns an enum pyfio_wait; -EINVAL, with a
 * sentence that lists the names, if there is none. */
int pyfio_wait_named(const char *name);

/* ---- devices ---------------------------------------------------------------- */

enum pyfio_device_type {
	PYFIO_DEVICE_AUTO = 0,
	PYFIO_DEVICE_BLK = 2,  /* device IDs of virtio 1.2, 5 */
	PYFIO_DEVICE_SCSI = 8,
};

enum pyfio_hugepages {
	PYFIO_HUGEPAGES_AUTO = 0,
	PYFIO_HUGEPAGES_OFF = 1,
	PYFIO_HUGEPAGES_2M = 2,
	PYFIO_HUGEPAGES_1G = 3,
};

/* PYFIO_CHOICE_AUTO leaves the choice to the library. */
enum pyfio_choice {
	PYFIO_CHOICE_AUTO = 0,
	PYFIO_CHOICE_ON = 1,
	PYFIO_CHOICE_OFF = 2,
};

struct pyfio_device;
struct pyfio_memory;

/* How a program wants the device. Every member but socket can be left at 0. */
struct pyfio_device_config {
	size_t struct_size;
	const char *socket;              /* path; the library copies it */
	struct pyfio_memory *memory;     /* may be shared with other devices, and must
	                                  * outlive this one; NULL: the device's own */
	size_t memory_bytes;             /* shared at once for I/O buffers, because
	                                  * some back-ends take no memory later */
	size_t max_request_bytes;        /* largest read or write that is not divided;
	                                  * 0: 1 MiB */
	int type;                        /* enum pyfio_device_type */
	int indirect;                    /* enum pyfio_choice: indirect descriptors */
	int event_idx;                   /* enum pyfio_choice */
	int hugepages;                   /* enum pyfio_hugepages */
	unsigned int num_queues;         /* request queues; 0: one */
	unsigned int queue_size;         /* entries, a power of two; 0: fits depth */
	unsigned int depth;              /* requests in flight per queue; 0: 128 */
	unsigned int connect_timeout_ms; /* for each answer; 0: 5000 */
	unsigned int scsi_address_set;   /* 0: target and LUN are not used; else 1 */
	unsigned int scsi_target;
	unsigned int scsi_lun;
	unsigned int reconnect_timeout_ms; /* how long the device waits for a back-end that
	                                  * hung up; 0: its operations fail with EIO */
};

/* What the back-end reported, what was negotiated, and how often it was lost. */
struct pyfio_device_info {
	size_t struct_size;
	uint64_t capacity_bytes;
	uint64_t offered_features;          /* virtio feature bits */
	uint64_t features;                  /* the negotiated ones */
	uint64_t offered_protocol;          /* vhost-user protocol feature bits */
	uint64_t protocol;
	uint64_t max_discard_bytes;
	uint64_t max_write_zeroes_bytes;
	unsigned int max_discard_segments;
	unsigned int discard_alignment;     /* bytes */
	unsigned int max_write_zeroes_segments;
	int type;                           /* PYFIO_DEVICE_BLK or PYFIO_DEVICE_SCSI */
	unsigned int block_size;            /* logical, in bytes */
	unsigned int physical_block_size;   /* bytes */
	unsigned int optimal_io_size;       /* bytes; 0: not reported */
	unsigned int max_queues;            /* request queues that the back-end has */
	unsigned int max_mem_slots;         /* memory regions that it accepts */
	unsigned int size_max;              /* bytes in a segment; 0: no limit */
	unsigned int seg_max;               /* data segments in a request */
	unsigned int num_queues;            /* in use; 0 until started */
	unsigned int queue_size;            /* of each; 0 until started */
	unsigned int page_size;             /* of the memory; 0 until started */
	bool read_only;
	bool can_flush;
	bool can_discard;
	bool can_write_zeroes;
	bool has_config;                    /* the configuration space could be read */
	bool writeback;                     /* the volatile write cache is on */
	bool hugepages_short;               /* PYFIO_HUGEPAGES_AUTO fell back to
	                                     * ordinary pages */
	bool reserved;
	char id[256];                       /* virtio-blk: its ID, "" until
	                                     * pyfio_device_attach() or
	                                     * pyfio_device_identify(); virtio-scsi:
	                                     * vendor, product and serial, "" until
	                                     * started */
	uint64_t reconnects;                /* after the back-end hung up */
	uint64_t replayed;                  /* requests that a back-end was given again */
	uint64_t away_ns;                   /* in all, until the rings ran again */
	uint64_t longest_away_ns;
};

/* A disk behind a virtio-scsi controller. */
struct pyfio_disk_summary {
	size_t struct_size;
	uint64_t capacity_bytes;
	unsigned int target;
	unsigned int lun;
	unsigned int block_size;          /* logical, in bytes */
	unsigned int physical_block_size; /* bytes */
	char vendor[12];
	char product[20];
	char serial[64];
	bool is_thin;
	bool reserved[7];
};

/* Connects to config->socket, negotiates features and reads the configuration space, in
 * order to describe a device; pyfio_device_attach() is for I/O. Blocks for
 * connect_timeout_ms at most. Returns -EINVAL if config or its socket is NULL, -ENOENT,
 * -ENOTSOCK, -ECONNREFUSED or -EACCES if the socket cannot be connected to, -ETIMEDOUT
 * if the back-end does not answer, -EPROTO if its answer is wrong, -ECONNRESET if it
 * hangs up, and -EOPNOTSUPP if the device lacks something that config asks for. After
 * success the caller must close *dev; after a failure it is NULL. */
int pyfio_device_open(struct pyfio_device **dev,
		      const struct pyfio_device_config *config);
/* Starts an opened device: shares memory, and sets up and starts the rings. For
 * virtio-scsi it also finds the disks. Call it at most once for each device. One thread
 * at a time may use dev for this.
 *
 * Returns -ENODEV if virtio-scsi has no disk, or has several and config chooses none;
 * -ENOMEM if there is no memory; and the errors of pyfio_device_open() for a back-end
 * that refuses, hangs or hangs up. */
int pyfio_device_start(struct pyfio_device *dev);
/* Asks a started virtio-blk device for its ID; it stays "" if the device has none, or
 * does not answer within connect_timeout_ms (2 s at most). Does nothing if
 * pyfio_device_attach() has asked, or for virtio-scsi, where pyfio_device_start() reads
 * it. No request may be in flight. One thread at a time may use dev for this. */
void pyfio_device_identify(struct pyfio_device *dev);
/* Counts the disks behind a virtio-scsi controller. Returns how many the start found,
 * also if it failed because there are several. Any thread, after the start. */
unsigned int pyfio_device_num_disks(const struct pyfio_device *dev);
/* Describes one of the disks behind a virtio-scsi controller in *disk, whose
 * struct_size the caller has set. Returns -ENOENT if index is not below
 * pyfio_device_num_disks(). Any thread, after the start. */
int pyfio_device_get_disk(const struct pyfio_device *dev, unsigned int index,
			  struct pyfio_disk_summary *disk);
/* Describes dev as far as it is known; the caller has set info->struct_size. Returns
 * -EINVAL or -E2BIG for a struct_size that this library does not know. Any thread, but
 * not during the calls above. */
int pyfio_device_describe(const struct pyfio_device *dev,
			  struct pyfio_device_info *info);
/* Closes a device: stops the rings, disconnects and frees dev. dev may be NULL. No
 * thread may use dev any more. */
void pyfio_device_close(struct pyfio_device *dev);

/* ---- memory that the back-end can reach ------------------------------------ */

/* Creates memory for pyfio_device_config.memory. It must outlive the devices that use
 * it, and buffers in it can be used with all of them, also if it grows: the first
 * operation that uses a new region tells the back-end of it. If the back-end takes no
 * further region, data in it is copied. hugepages is an enum pyfio_hugepages. Returns
 * NULL on failure. */
struct pyfio_memory *pyfio_memory_create(int hugepages);
/* Takes a reference: one more pyfio_memory_destroy() is needed. */
void pyfio_memory_keep(struct pyfio_memory *memory);
/* Drops a reference. The last one frees the memory and all buffers in it, so no device
 * may use it any more. A back-end that still has it mapped can write to it later, but
 * this process does not see that. memory may be NULL. */
void pyfio_memory_destroy(struct pyfio_memory *memory);
/* Frees a buffer as pyfio_device_free() does, also after the device is closed. address
 * may be NULL. */
void pyfio_memory_free(struct pyfio_memory *memory, void *address);

/* Allocates an I/O buffer for a started device: whole blocks move between it and the
 * device without a copy. alignment is a power of two; 0: 4096. The library shares more
 * memory when it is needed, as long as the back-end accepts more regions. Returns NULL
 * if there is no memory. */
void *pyfio_device_alloc(struct pyfio_device *dev, size_t size_bytes, size_t alignment);
/* Frees a buffer of pyfio_device_alloc(). If the back-end may still write to the memory
 * for an operation that failed, the memory is not allocated again before the back-end
 * has given it back. address may be NULL. */
void pyfio_device_free(struct pyfio_device *dev, void *address);
/* Shares the program's own memory with a started device: size_bytes at address, which
 * are mapped (MAP_SHARED) from fd at file_offset_bytes. All three must be multiples of
 * the page size. The memory must stay mapped, and the file must not shrink, until it is
 * unregistered or the device closed; fd can be closed after this call. No other device
 * can use the memory, not even one with the same struct pyfio_memory. Returns -EINVAL;
 * -ENOSPC if no further region can be shared; or -EREMOTEIO if the back-end refused it.
 * A call that fails changes nothing. */
int pyfio_device_register_memory(struct pyfio_device *dev, void *address,
				 size_t size_bytes, int fd, uint64_t file_offset_bytes);
/* Ends pyfio_device_register_memory() for the memory that begins at address, which can
 * be unmapped after that. Returns -EINVAL if no such memory is registered; -EBUSY while
 * the back-end has it for an operation, also for one that was given up; -EOPNOTSUPP if
 * the back-end cannot give up memory while it runs; or the error of a back-end that
 * refuses (-EREMOTEIO), hangs or hangs up. After a failure it must stay mapped. */
int pyfio_device_unregister_memory(struct pyfio_device *dev, void *address);

/* ---- reading and writing ------------------------------------------------------ */

/*
 * A call accepts any size, any offset and any memory; whole blocks in shared memory (see
 * the section above) move without a copy. If two threads write different bytes of one
 * block at the same time, both writes take effect.
 *
 * No call hangs. All of them fail with -EIO if the back-end hangs up or reports an
 * error, -EPROTO if it breaks the protocol, -ETIMEDOUT after request_timeout_ms without
 * progress, -ECANCELED after pyfio_device_shutdown(), -EOPNOTSUPP if the device does not
 * know the command, -EROFS if it is read-only, -ENOSPC if a change begins at or beyond
 * its end, and -EINVAL if it is not attached or an argument is impossible. A virtio-scsi
 * disk has further errors, such as -ENOMEDIUM.
 *
 * While an operation moves whole blocks to or from shared memory, that memory belongs
 * to the back-end. It still does after a call has failed with -ETIMEDOUT, -EIO or
 * -ECANCELED: the back-end may read or write it until it has carried out the
 * operation, or until pyfio_device_detach() has stopped it. So do not use this memory
 * again: free it and allocate a new buffer, or, if you registered it, keep it mapped
 * until then. All other memory can be used again at once.
 */

/* How threads wait for the device. Every member can be left at 0. */
struct pyfio_attach_options {
	size_t struct_size;
	int wait;                        /* enum pyfio_wait */
	unsigned int sleepy_poll_us;     /* PYFIO_WAIT_SLEEPY; 0: 50; at most 1000000.
	                                  * If it is not 0, PYFIO_WAIT_DEFAULT means
	                                  * sleepy */
	unsigned int request_timeout_ms; /* without progress; 0: 30000 */
	unsigned int reserved;
};

/* Opens and starts a device, asks it for its ID as pyfio_device_identify() does, and
 * prepares it for the calls below. options may be NULL. A device without an ID is no
 * failure. Fails as pyfio_device_open() and pyfio_device_start() do, and with -EINVAL
 * for a way of waiting that there is not. After success the caller must detach *dev;
 * after a failure it is NULL. */
int pyfio_device_attach(struct pyfio_device **dev,
			const struct pyfio_device_config *config,
			const struct pyfio_attach_options *options);
/* Ends the calls of all threads and the operations in flight with -ECANCELED. Later
 * ones fail in the same way. */
void pyfio_device_shutdown(struct pyfio_device *dev);
/* Closes an attached device: stops the rings, disconnects and frees dev. No thread may
 * be in a call, and every async of dev must be closed. dev may be NULL. */
void pyfio_device_detach(struct pyfio_device *dev);
/* Reads or writes as pread(2) or pwrite(2) does. Returns the number of bytes moved,
 * which is smaller than size_bytes only at the end of the device. Fails as above. */
int64_t pyfio_device_read(struct pyfio_device *dev, void *buffer, size_t size_bytes,
			  uint64_t offset_bytes);
int64_t pyfio_device_write(struct pyfio_device *dev, const void *buffer,
			   size_t size_bytes, uint64_t offset_bytes);
/* Reads or writes as preadv(2) or pwritev(2) does, with up to 1024 (IOV_MAX) parts of
 * memory, which are filled or written in turn. Returns the number of bytes, or an
 * error, as pyfio_device_read() and pyfio_device_write() do. */
int64_t pyfio_device_readv(struct pyfio_device *dev, const struct iovec *iov,
			   unsigned int iov_count, uint64_t offset_bytes);
int64_t pyfio_device_writev(struct pyfio_device *dev, const struct iovec *iov,
			    unsigned int iov_count, uint64_t offset_bytes);
/* Puts everything that was written before on stable storage. Returns 0 at once if the
 * device has no cache. */
int pyfio_device_flush(struct pyfio_device *dev);
/* Tells the device that the bytes are not needed any more. Blocks that the range covers
 * only in part stay as they are. Returns 0 or an error as above. */
int pyfio_device_discard(struct pyfio_device *dev, uint64_t offset_bytes,
			 uint64_t size_bytes);
/* Writes zeroes, also if the device does not offer this command. Fails as above. */
int pyfio_device_write_zeroes(struct pyfio_device *dev, uint64_t offset_bytes,
			      uint64_t size_bytes);

/* ---- the same, without waiting -------------------------------------------------- */

enum pyfio_operation_type {
	PYFIO_OPERATION_READ = 0,
	PYFIO_OPERATION_WRITE = 1,
	PYFIO_OPERATION_DISCARD = 2,
	PYFIO_OPERATION_WRITE_ZEROES = 3,
	PYFIO_OPERATION_FLUSH = 4,
};

/* They can be combined. */
enum pyfio_operation_flag {
	/* A write or write-zeroes is on stable storage when it completes, because the
	 * device flushes its cache after it. */
	PYFIO_OPERATION_FUA = 1,
	/* It begins after everything that was submitted to this async before it is done,
	 * and what is submitted after it begins after it is done, also if one of them
	 * failed. An operation that was cancelled is done once it can be collected. While
	 * one before a barrier is overdue, the barrier waits, and times out. A barrier
	 * that is cancelled or times out before it began holds nothing back. */
	PYFIO_OPERATION_BARRIER = 2,
};

/* The caller owns it. It, its buffer and its iov must exist until it has been collected,
 * also if it was cancelled or timed out. A read or a write moves size_bytes to or from
 * buffer. But if iov_count is not 0, it moves the parts of iov in turn, as
 * pyfio_device_readv() does, and buffer and size_bytes must be 0. */
struct pyfio_operation {
	size_t struct_size;
	int type;                /* enum pyfio_operation_type */
	unsigned int flags;      /* enum pyfio_operation_flag */
	void *buffer;            /* to read into or to write from */
	size_t size_bytes;
	uint64_t offset_bytes;
	void *user;              /* for the caller; the library does not use it */
	int64_t result;          /* set once collected; as the calls above return */
	const struct iovec *iov;
	unsigned int iov_count;
	unsigned int reserved;
};

/* Submits operations to one queue of the device and collects them. A program that
 * wants to use all queues opens one async for each. */
struct pyfio_async;

/* Opens an async of an attached device. Returns -ENOMEM if there is no memory, and
 * -EINVAL if the device is not attached. After success the caller must close *async;
 * after a failure it is NULL. */
int pyfio_async_open(struct pyfio_async **async, struct pyfio_device *dev);
/* Ends the calls of other threads that wait, with -ECANCELED. Later submissions fail in
 * the same way. */
void pyfio_async_shutdown(struct pyfio_async *async);
/* Cancels the operations in flight. Their shared memory still belongs to the back-end
 * (see the section above). No thread may be in a call. async may be NULL. */
void pyfio_async_close(struct pyfio_async *async);
/* Begins op. Returns 0 or an error as above, -ECANCELED after pyfio_async_shutdown(),
 * or -ENOMEM. After success op must be collected, whether it succeeds or fails. */
int pyfio_async_submit(struct pyfio_async *async, struct pyfio_operation *op);
/* Begins count operations in turn, with one kick. Returns how many it began: if they
 * are fewer than count, pyfio_error_message() says why the next one was refused. If
 * already the first one is refused, the call returns its negative errno. */
int pyfio_async_submit_many(struct pyfio_async *async,
			    struct pyfio_operation *const *ops, unsigned int count);
/* Waits until min operations can be collected, or all that are in flight, or until
 * timeout_ms have passed (-1: no limit). With min 0 it looks at the ring once and does
 * not wait. Returns how many can be collected, -ETIMEDOUT as below, or -ECANCELED after
 * pyfio_async_shutdown().
 *
 * An operation that makes no progress for request_timeout_ms ends with -ETIMEDOUT,
 * whatever other operations do. But while the back-end still has shared memory of it,
 * the operation is overdue, and can be collected only after the back-end has given the
 * memory back. The call returns -ETIMEDOUT if nothing can be collected and all
 * operations in flight are overdue. If that is so from the beginning and timeout_ms is
 * not -1, it waits for them first. */
int pyfio_async_completed(struct pyfio_async *async, unsigned int min, int timeout_ms);
/* Collects up to max operations, in the order in which they completed. Returns how
 * many. One that failed is always the last, so that pyfio_error_message() says why. */
int pyfio_async_collect(struct pyfio_async *async, struct pyfio_operation **ops,
			unsigned int max);
/* Collects an operation that completed. Returns it, or NULL if there is none. If the
 * operation failed, pyfio_error_message() says why. */
struct pyfio_operation *pyfio_async_get_completed(struct pyfio_async *async);
/* Finds an operation that became overdue. This does not collect it, so it and its
 * buffer must still exist. Returns each one once, or NULL if there is no other;
 * pyfio_error_message() says why. */
struct pyfio_operation *pyfio_async_get_overdue(struct pyfio_async *async);
/* Cancels op. Unless it is done already, it can be collected with -ETIMEDOUT after the
 * back-end has given back its shared memory. The back-end may still carry it out, but a
 * buffer that is not shared memory can be used again when the call returns. */
void pyfio_async_cancel(struct pyfio_async *async, struct pyfio_operation *op);
/* Lets an event loop wait for operations. The first call starts a thread that looks for
 * completions. Returns an eventfd that is readable if operations have completed or
 * become overdue since it was last read, or a negative errno if no eventfd or thread
 * can be made. pyfio_async_close() makes it readable, then closes it. */
int pyfio_async_fd(struct pyfio_async *async);

#ifdef PYFIO_BUILDS_LIBRARY
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
