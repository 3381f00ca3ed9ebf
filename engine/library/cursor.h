/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A place in the memory of a program, which is one buffer or several parts: where the
 * next byte of a transfer comes from or goes to. The caller makes sure that as many
 * bytes are left as it asks for. Any thread; one at a time uses a cursor.
 */
#ifndef CURSOR_H
#define CURSOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct cursor {
	char *at;
	uint64_t part_bytes;      /* left in this part */
	const struct iovec *next; /* the parts after it */
	unsigned int num_next;
};

static inline struct cursor cursor_to_buffer(void *buffer, uint64_t size_bytes)
{
	return (struct cursor){ .at = buffer, .part_bytes = size_bytes };
}

/* count is not 0. */
static inline struct cursor cursor_to_parts(const struct iovec *iov, unsigned int count)
{
	return (struct cursor){ .at = iov->iov_base, .part_bytes = iov->iov_len,
				.next = iov + 1, .num_next = count - 1 };
}

/* Moves the cursor on to the first part that has a byte. Called before at is used for
 * further bytes. */
void cursor_skip_empty(struct cursor *cursor);
/* Moves the cursor on by size_bytes. */
void cursor_skip(struct cursor *cursor, uint64_t size_bytes);
/* Copies size_bytes from the program's memory, and to it, and moves the cursor on. */
void cursor_gather(struct cursor *cursor, char *to, uint64_t size_bytes);
void cursor_scatter(struct cursor *cursor, const char *from, uint64_t size_bytes);

#endif
