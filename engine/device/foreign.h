/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A list of the regions that belong to the program and that one back-end knows. An
 * operation that moves data directly is a user of its region, and a region with users is
 * not taken out.
 *
 * One thread at a time adds and takes out. Any thread may look and be a user meanwhile;
 * it takes no lock.
 */
#ifndef FOREIGN_H
#define FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct foreign {
	const char *address;  /* atomic, as the next one */
	size_t size_bytes;    /* 0: this entry is free */
	uint64_t file_offset_bytes;
	int fd;               /* of the file; -1: not kept */
	unsigned int users;   /* atomic; see foreign.c */
};

#define FOREIGN_MAX 8

struct foreign_list {
	struct foreign entries[FOREIGN_MAX];
};

unsigned int foreign_count(const struct foreign_list *list);
/* True if a region has a byte of [address, address + size_bytes). */
bool foreign_overlaps(const struct foreign_list *list, const void *address,
		      size_t size_bytes);

/* There is a free entry, and fd belongs to it until it is taken out; -1: the file is not
 * kept. */
void foreign_add(struct foreign_list *list, const void *address, size_t size_bytes,
		 uint64_t file_offset_bytes, int fd);
/* The region that begins at address, or NULL. */
struct foreign *foreign_find(struct foreign_list *list, const void *address);
/* Keeps new users away from a region, or returns false if it has users. Then it is taken
 * out, or kept. */
bool foreign_begin_change(struct foreign *foreign);
void foreign_end_change(struct foreign *foreign, bool is_taken_out);
/* Closes the files of all regions. No thread may use the list. */
void foreign_close(struct foreign_list *list);

/* True if a region holds all of it; then the caller is a user until foreign_return().
 * Adds a bit to *lent for the region; a caller with several buffers uses one *lent. */
bool foreign_lend(struct foreign_list *list, const void *address, size_t size_bytes,
		  uint32_t *lent);
void foreign_return(struct foreign_list *list, uint32_t lent);

#endif
