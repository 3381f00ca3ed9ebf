/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What holds the data: nothing at all, memory, or a file.
 *
 * Opened and closed by the control thread; read and written by any number of
 * workers at once, at offsets that the caller has checked. Knows no blocks, no
 * sectors and no client.
 */
#ifndef BACKEND_STORAGE_H
#define BACKEND_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "chain.h"

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
	int fd;       /* memory and file; else -1 */
	uint8_t *map; /* memory */
};

/* `words` is null, memory, memory:PATH (kept over restarts) or file:PATH;
 * `bytes` may be 0 for a file that exists. */
int storage_open(struct storage *storage, const char *words, uint64_t bytes,
		 bool read_only);
void storage_close(struct storage *storage);

#endif
