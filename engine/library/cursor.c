/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Places in the memory of a program; see library/cursor.h. */
#include "library/cursor.h"

#include <string.h>

void cursor_skip_empty(struct cursor *cursor)
{
	while (!cursor->part_bytes && cursor->num_next) {
		cursor->at = cursor->next->iov_base;
		cursor->part_bytes = cursor->next->iov_len;
		cursor->next++;
		cursor->num_next--;
	}
}

/* How many of size_bytes lie in the part of the cursor. */
static uint64_t in_this_part(struct cursor *cursor, uint64_t size_bytes)
{
	cursor_skip_empty(cursor);
	return size_bytes < cursor->part_bytes ? size_bytes : cursor->part_bytes;
}

static void advance(struct cursor *cursor, uint64_t size_bytes)
{
	cursor->at += size_bytes;
	cursor->part_bytes -= size_bytes;
}

void cursor_skip(struct cursor *cursor, uint64_t size_bytes)
{
	while (size_bytes) {
		uint64_t count = in_this_part(cursor, size_bytes);

		advance(cursor, count);
		size_bytes -= count;
	}
}

void cursor_gather(struct cursor *cursor, char *to, uint64_t size_bytes)
{
	while (size_bytes) {
		uint64_t count = in_this_part(cursor, size_bytes);

		memcpy(to, cursor->at, count);
		advance(cursor, count);
		to += count;
		size_bytes -= count;
	}
}

void cursor_scatter(struct cursor *cursor, const char *from, uint64_t size_bytes)
{
	while (size_bytes) {
		uint64_t count = in_this_part(cursor, size_bytes);

		memcpy(cursor->at, from, count);
		advance(cursor, count);
		from += count;
		size_bytes -= count;
	}
}
