/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program's own regions; see device/foreign.h. */
#include "device/foreign.h"

#include <unistd.h>

/* In users: the entry is changed. This is so only while there is no user, and a thread
 * that finds this bit does not become one. */
#define CHANGING (1u << 31)

static size_t size_of(const struct foreign *foreign)
{
	return __atomic_load_n(&foreign->size_bytes, __ATOMIC_RELAXED);
}

static uintptr_t start_of(const struct foreign *foreign)
{
	return (uintptr_t)__atomic_load_n(&foreign->address, __ATOMIC_RELAXED);
}

static bool holds(const struct foreign *foreign, const void *address, size_t size_bytes)
{
	size_t offset = (uintptr_t)address - start_of(foreign), size = size_of(foreign);

	return offset < size && size - offset >= size_bytes;
}

unsigned int foreign_count(const struct foreign_list *list)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < FOREIGN_MAX; i++)
		count += size_of(&list->entries[i]) != 0;
	return count;
}

bool foreign_overlaps(const struct foreign_list *list, const void *address,
		      size_t size_bytes)
{
	uintptr_t start = (uintptr_t)address;

	for (unsigned int i = 0; i < FOREIGN_MAX; i++) {
		const struct foreign *foreign = &list->entries[i];

		if (start < start_of(foreign) + size_of(foreign) &&
		    start_of(foreign) < start + size_bytes)
			return true;
	}
	return false;
}

/* ---- changes ----------------------------------------------------------------------- */

static void set(struct foreign *foreign, const void *address, size_t size_bytes)
{
	__atomic_store_n(&foreign->address, address, __ATOMIC_RELAXED);
	__atomic_store_n(&foreign->size_bytes, size_bytes, __ATOMIC_RELAXED);
}

void foreign_add(struct foreign_list *list, const void *address, size_t size_bytes,
		 uint64_t file_offset_bytes, int fd)
{
	struct foreign *foreign = list->entries;

	while (size_of(foreign))
		foreign++;
	/* A thread that has looked at the former region may be a user for an instant. */
	while (!foreign_begin_change(foreign))
		;
	set(foreign, address, size_bytes);
	foreign->file_offset_bytes = file_offset_bytes;
	foreign->fd = fd;
	foreign_end_change(foreign, false);
}

struct foreign *foreign_find(struct foreign_list *list, const void *address)
{
	for (unsigned int i = 0; i < FOREIGN_MAX; i++)
		if (list->entries[i].size_bytes && list->entries[i].address == address)
			return &list->entries[i];
	return NULL;
}

bool foreign_begin_change(struct foreign *foreign)
{
	unsigned int none = 0;

	return __atomic_compare_exchange_n(&foreign->users, &none, CHANGING, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void close_file(struct foreign *foreign)
{
	if (foreign->fd >= 0)
		close(foreign->fd);
	foreign->fd = -1;
}

void foreign_end_change(struct foreign *foreign, bool is_taken_out)
{
	if (is_taken_out) {
		set(foreign, NULL, 0);
		close_file(foreign);
	}
	__atomic_fetch_and(&foreign->users, ~CHANGING, __ATOMIC_RELEASE);
}

void foreign_close(struct foreign_list *list)
{
	for (unsigned int i = 0; i < FOREIGN_MAX; i++)
		if (size_of(&list->entries[i]))
			close_file(&list->entries[i]);
}

/* ---- users --------------------------------------------------------------------------- */

/* The entry is looked at again, because it may have been changed before it had this
 * user. */
static bool lend(struct foreign *foreign, const void *address, size_t size_bytes)
{
	if (!holds(foreign, address, size_bytes))
		return false;
	if (!(__atomic_fetch_add(&foreign->users, 1, __ATOMIC_ACQUIRE) & CHANGING) &&
	    holds(foreign, address, size_bytes))
		return true;
	__atomic_fetch_sub(&foreign->users, 1, __ATOMIC_RELAXED);
	return false;
}

bool foreign_lend(struct foreign_list *list, const void *address, size_t size_bytes,
		  uint32_t *lent)
{
	for (unsigned int i = 0; i < FOREIGN_MAX; i++) {
		struct foreign *foreign = &list->entries[i];
		bool is_user = *lent >> i & 1;

		if (is_user ? holds(foreign, address, size_bytes) :
			      lend(foreign, address, size_bytes)) {
			*lent |= 1u << i;
			return true;
		}
	}
	return false;
}

void foreign_return(struct foreign_list *list, uint32_t lent)
{
	for (unsigned int i = 0; lent >> i; i++)
		if (lent >> i & 1)
			__atomic_fetch_sub(&list->entries[i].users, 1, __ATOMIC_RELEASE);
}
