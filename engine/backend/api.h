/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Python sees of the built-in back-end.
 *
 * This file is also cffi's cdef: it is read without its # lines, so it holds
 * declarations only. Functions may be entered from any thread, but for one
 * back-end by one thread at a time. On failure backend_error() holds one
 * sentence for the calling thread.
 */
#ifndef BACKEND_API_H
#define BACKEND_API_H

#include <stdbool.h>
#include <stdint.h>

/* Strings are copied. NULL, "" and 0 mean what stands in brackets. */
struct backend_config {
	const char *socket_path;
	const char *control_path; /* [no control socket] */
	const char *device;	  /* blk, scsi [blk] */
	const char *storage;	  /* null, memory, memory:PATH, file:PATH [memory] */
	const char *serve;	  /* poll, event, adaptive [adaptive] */
	const char *profile;	  /* builtin, spdk, qemu, rust-vmm, minimal [builtin] */
	const char *latency;	  /* none, 20us, 10us,100us/1s, trace:FILE [none] */
	const char *fault;	  /* faults with blanks between [none] */
	const char *cpus;	  /* 1 or 0,2-3: the workers' CPUs by turns [any] */
	uint64_t size_bytes;	  /* of each disk [1 GiB; a file's own size] */
	uint32_t block_bytes;	  /* 512, 4096 [512] */
	uint32_t queue_count;	  /* request queues [1] */
	uint32_t queue_size_max;  /* descriptors [1024, or the profile's] */
	uint32_t thread_count;	  /* workers [1] */
	uint32_t target_count;	  /* scsi, up to 8 [1] */
	uint32_t lun_count;	  /* scsi, in each target, up to 16 [1] */
	uint32_t size_max;	  /* blk: bytes in a segment [no limit] */
	uint32_t seg_max;	  /* segments in a request [126] */
	uint32_t discard_sectors_max;  /* in one range, of 512 bytes [4194304] */
	uint32_t discard_segments_max; /* ranges in a request [16] */
	int socket_fd; /* bound to socket_path, taken over [it is bound here] */
	bool read_only;
	/* Memory is filled before it is served, not as it is used: it must be
	 * there. */
	bool populate;
	/* The process is the back-end's alone: it survives clients that cut
	 * their memory short, and the fault "die" kills it. */
	bool own_process;
	int log_fd;	  /* where clients' mistakes are told; -1: nowhere */
};

struct backend;

/* Starts the threads and listens. NULL on failure. */
struct backend *backend_start(const struct backend_config *config);
/* Stops the threads, removes the sockets, frees the back-end. */
void backend_stop(struct backend *backend);

/* Carries out a line such as the control socket takes (stats, fault ...,
 * latency ..., resize ...) and writes the line of answer, at most `room` bytes
 * with its end. */
void backend_command(struct backend *backend, const char *line, char *answer,
		     unsigned int room);

/* The sentence of the last failure in this thread. */
const char *backend_error(void);

#endif
