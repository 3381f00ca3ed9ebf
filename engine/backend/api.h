/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The functions of the built-in back-end that Python calls.
 *
 * This file is also cffi's cdef. cffi reads it without its # lines, so it holds
 * declarations only. Any thread may call these functions, but only one thread
 * at a time may use a back-end. After a failure, backend_error() returns one
 * sentence for the calling thread.
 */
#ifndef BACKEND_API_H
#define BACKEND_API_H

#include <stdbool.h>
#include <stdint.h>

/* Strings are copied. NULL, "" and 0 mean the default, given in brackets. */
struct backend_config {
	const char *socket_path;
	const char *control_path; /* [no control socket] */
	const char *device;	  /* blk, scsi [blk] */
	const char *storage;	  /* null, memory, memory:PATH, file:PATH [memory] */
	const char *serve;	  /* poll, event, adaptive [adaptive] */
	const char *profile;	  /* builtin, spdk, qemu, rust-vmm, minimal [builtin] */
	const char *latency;	  /* none, 20us, 10us,100us/1s, trace:FILE [none] */
	const char *fault;	  /* faults separated by spaces [none] */
	/* File for the times of single requests, which is emptied first [none are taken]. */
	const char *explain_path;
	const char *cpus;	  /* 1 or 0,2-3: assigned to workers in turn [any] */
	const char *aio;	  /* how files are served: auto, io_uring, threads, off [auto] */
	uint64_t size_bytes;	  /* of each disk [1 GiB; a file's own size] */
	uint32_t block_bytes;	  /* 512, 4096 [512; with direct, what the file needs] */
	uint32_t queue_count;	  /* request queues [1] */
	uint32_t queue_size_max;  /* descriptors [1024, or the profile's] */
	uint32_t thread_count;	  /* workers [1] */
	uint32_t target_count;	  /* scsi, up to 8 [1] */
	uint32_t lun_count;	  /* scsi, in each target, up to 16 [1] */
	uint32_t size_max;	  /* blk: bytes in a segment [no limit] */
	uint32_t seg_max;	  /* segments in a request [126] */
	uint32_t discard_sectors_max;  /* in one range, of 512 bytes [4194304] */
	uint32_t discard_segments_max; /* ranges in a request [16] */
	uint32_t explain_every;	  /* take times of one request in so many [64] */
	/* After so many clients the back-end takes no further one. If it is a
	 * process, it ends when the last of them has left [any number]. */
	uint32_t clients_max;
	/* A socket that is bound to socket_path already; the back-end closes it
	 * when it stops [the back-end binds one]. */
	int socket_fd;
	bool read_only;
	bool direct; /* a file is accessed without the page cache (O_DIRECT) */
	/* Allocate the memory, or the blocks of a new memory:PATH file, before
	 * it is served. The caller checks that there is enough memory. */
	bool populate;
	/* Then wait for huge pages, even if the system is slow to provide them. */
	bool populate_huge;
	/* Nothing else runs in this process. Only then does the back-end handle
	 * SIGBUS, so that it survives clients that cut their memory short, and
	 * only then does the fault "die" kill the process. */
	bool own_process;
	int log_fd;	  /* receives lines about clients' errors; -1: none */
};

struct backend;

/* Starts the threads and listens. NULL on failure. */
struct backend *backend_start(const struct backend_config *config);
/* Stops the threads, removes the sockets and frees the back-end. */
void backend_stop(struct backend *backend);

/* Carries out a command of the control socket (stats, fault ..., latency ...,
 * resize ...) and writes the answer, one line without a newline, to `answer`.
 * `room` is the size of `answer` in bytes, with the terminating NUL. */
void backend_command(struct backend *backend, const char *line, char *answer,
		     unsigned int room);

/* The sentence about the last failure in this thread. */
const char *backend_error(void);

#endif
