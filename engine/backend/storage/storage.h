/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What holds the data: nothing at all, memory, or a file.
 *
 * Opened and closed by the control thread; read and written by any number of
 * workers at once, at offsets that the caller has checked. Knows no blocks, no
 * sectors and no client. Data that cannot be had makes the request fail.
 */
#ifndef BACKEND_STORAGE_H
#define BACKEND_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/chain.h"
#include "storage/populate.h"

struct storage;

/* Each returns 0 or a negative errno. A span is consumed. */
struct storage_ops {
	int (*read)(struct storage *storage, uint64_t offset, struct span *to);
	int (*write)(struct storage *storage, uint64_t offset,
		     struct span *from);
	int (*flush)(struct storage *storage);
	int (*discard)(struct storage *storage, uint64_t offset,
		       uint64_t bytes);
	int (*write_zeroes)(struct storage *storage, uint64_t offset,
			    uint64_t bytes);
};

struct storage {
	const struct storage_ops *ops;
	uint64_t bytes;
	int fd;	      /* of a file; else -1 */
	uint8_t *map; /* memory, and a file that is mapped; else NULL */
	void *mapping; /* what munmap() wants */
	size_t mapping_bytes;
	int log_fd;
	/* Written by any worker, so atomic. */
	bool failure_told;
	bool flush_failed; /* once, so for good */
};

/* What the caller wants of a storage. */
struct storage_options {
	const char *words; /* null, memory, memory:PATH or file:PATH */
	uint64_t bytes;	   /* may be 0 for a file that exists */
	bool read_only;
	/* Files may be mapped: the guard stands (memory/guard.h). */
	bool may_map;
	bool populate; /* memory and new files that are mapped */
	struct populate_cpus cpus;
	int log_fd; /* where the first failure is told; -1: nowhere */
};

int storage_open(struct storage *storage,
		 const struct storage_options *options);
void storage_close(struct storage *storage);

/* failure.c */

/* Tells the first failure in the log. Returns `code`, a negative errno. */
int storage_failed(struct storage *storage, const char *what, uint64_t offset,
		   int code);

/* memory.c */

extern const struct storage_ops memory_ops; /* nobody else's memory */
extern const struct storage_ops mapped_ops; /* a mapped file */

int storage_map_memory(struct storage *storage,
		       const struct storage_options *options);
int storage_map_file(struct storage *storage, bool read_only);
/* Has the file's blocks allocated, and its pages brought in. */
void storage_populate_file(struct storage *storage,
			   const struct storage_options *options);

/* file.c: a file by system calls. */

extern const struct storage_ops file_ops;

/* `is_new`: it had no bytes before. */
int storage_open_file(struct storage *storage, const char *path,
		      bool read_only, bool *is_new);

#endif
