/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The storage of the data: memory, a file, or none.
 *
 * The thread that starts or stops the back-end opens and closes it. Any number
 * of workers may read and write it at the same time, at offsets that the caller
 * has checked. It knows no blocks, sectors or clients. If data cannot be read
 * or written, the request fails.
 */
#ifndef BACKEND_STORAGE_H
#define BACKEND_STORAGE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring/chain.h"
#include "storage/populate.h"

struct storage;

/* What a file could not do without waiting. A caller that must not wait passes one with
 * an access. Instead of waiting, the access fills it in and returns -EINPROGRESS. */
struct postponed {
	bool is_set; /* the caller clears it */
	/* The span is all that is left of one read or write. Otherwise the whole request
	 * has to be carried out again by a caller that may wait. */
	bool is_transfer;
	bool is_write;
	uint64_t offset;
	struct span span; /* its segments are those of the access */
};

/* Asks the caller to carry the whole request out where it may wait. */
static inline int storage_postpone(struct postponed *later)
{
	*later = (struct postponed){ .is_set = true };
	return -EINPROGRESS;
}

/* Each returns 0 or a negative errno. Spans are consumed. Unless the storage is
 * null, discarded blocks read as zeroes. */
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
	int fd;	      /* of a file; otherwise -1 */
	uint8_t *map; /* of memory and of mapped files; otherwise NULL */
	void *mapping; /* for munmap(), with mapping_bytes */
	size_t mapping_bytes;
	int log_fd;
	/* Without the page cache (storage/direct.h): lengths and offsets are multiples of
	 * the first, addresses of the second. 0: with the page cache. */
	uint32_t direct_bytes, direct_memory_bytes;
	/* Workers write these, so they are atomic. Nothing clears them. */
	bool failure_logged;
	bool flush_failed;
	bool lacks_nowait; /* its file system cannot tell what would wait */
};

struct storage_options {
	const char *words; /* null, memory, memory:PATH or file:PATH */
	uint64_t bytes;	   /* 0: the size of the file */
	bool read_only;
	bool direct; /* of a file: without the page cache */
	/* Files may be mapped, because a guard will run (memory/guard.h). */
	bool may_map;
	bool populate; /* allocate memory and new mapped files at once */
	bool populate_huge; /* wait for huge pages then */
	struct populate_cpus cpus;
	int log_fd; /* receives a line about the first failure; -1: none */
};

/* The path in file:PATH; NULL for other storage. */
const char *storage_file_path(const char *words);
int storage_open(struct storage *storage,
		 const struct storage_options *options);
void storage_close(struct storage *storage);

/* failure.c */

/* Writes the first failure to the log. Returns `code`, a negative errno. */
int storage_failed(struct storage *storage, const char *what, uint64_t offset,
		   int code);

/* memory.c */

extern const struct storage_ops memory_ops; /* private memory */
extern const struct storage_ops mapped_ops; /* a mapped file */

int storage_map_memory(struct storage *storage,
		       const struct storage_options *options);
int storage_map_file(struct storage *storage, bool read_only);
/* Allocates the blocks of a mapped file and, if it is in memory, its pages. */
void storage_populate_file(struct storage *storage,
			   const struct storage_options *options);

/* file.c: a file that is accessed by system calls. */

extern const struct storage_ops file_ops;

/* Like file_ops, for callers that must not wait. */
int file_try_read(struct storage *storage, uint64_t offset, struct span *to,
		  struct postponed *later);
int file_try_write(struct storage *storage, uint64_t offset, struct span *from,
		   struct postponed *later);
/* Returns -EIO if the file was cut short. A write must not be made then, because it
 * would make the file longer again. */
int file_check_is_whole(const struct storage *storage);
/* Whether the file is in memory, so that no access waits. */
bool file_is_in_memory(const struct storage *storage);

/* Sets `is_new` if the file was created or empty. */
int storage_open_file(struct storage *storage, const char *path,
		      bool read_only, bool *is_new);

#endif
