/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Maps and unmaps the memory regions of one client. The control thread enters
 * it while the workers are parked; workers call memory_find_guest() alone. No
 * file descriptor is kept, because a mapping keeps its file alive.
 */
#include "memory/client.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/given_fd.h"
#include "memory/guard.h"

static int ranges_overlap(uint64_t a, uint64_t a_bytes, uint64_t b,
			  uint64_t b_bytes)
{
	return a < b + b_bytes && b < a + a_bytes;
}

static int region_is_sane(const struct vhost_user_region *region)
{
	return region->size && region->size <= SIZE_MAX / 2 &&
	       region->guest_address <= UINT64_MAX - region->size &&
	       region->user_address <= UINT64_MAX - region->size &&
	       region->mmap_offset <= INT64_MAX - region->size;
}

static int region_overlaps(const struct memory *memory,
			   const struct vhost_user_region *region)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++) {
		const struct memory_region *other = &memory->regions[i];

		if (ranges_overlap(region->guest_address, region->size,
				   other->guest_address, other->size_bytes) ||
		    ranges_overlap(region->user_address, region->size,
				   other->user_address, other->size_bytes))
			return 1;
	}
	return 0;
}

/* An access to a region that reaches past the end of its file would cause
 * SIGBUS. */
static int check_file_size(const struct vhost_user_region *region, int fd)
{
	struct stat file;
	int result = given_fd_check_memory(fd, "memory region: it");

	if (result)
		return result;
	if (fstat(fd, &file))
		return error_record(-errno, "memory region: fstat: %s",
				    strerror(errno));
	if ((uint64_t)file.st_size < region->mmap_offset + region->size)
		return error_record(
			-EINVAL,
			"memory region: %" PRIu64 " bytes at offset %" PRIu64
			" of a file of %" PRIu64 " bytes",
			region->size, region->mmap_offset,
			(uint64_t)file.st_size);
	return 0;
}

static int region_map(struct memory_region *mapped,
		      const struct vhost_user_region *region, int fd)
{
	uint64_t page_bytes = given_fd_page_bytes(fd);
	uint64_t start = region->mmap_offset & ~(page_bytes - 1);
	uint64_t end = (region->mmap_offset + region->size + page_bytes - 1) &
		       ~(page_bytes - 1);

	mapped->mapping_bytes = end - start;
	mapped->mapping = mmap(NULL, mapped->mapping_bytes,
			       PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
	if (mapped->mapping == MAP_FAILED)
		return error_record(-errno,
				    "memory region: mmap of %" PRIu64
				    " bytes: %s",
				    region->size, strerror(errno));
	if (guard_watch(mapped->mapping, mapped->mapping_bytes)) {
		munmap(mapped->mapping, mapped->mapping_bytes);
		return -ENOMEM;
	}
	mapped->host = (uint8_t *)mapped->mapping + region->mmap_offset - start;
	mapped->guest_address = region->guest_address;
	mapped->user_address = region->user_address;
	mapped->size_bytes = region->size;
	return 0;
}

int memory_add(struct memory *memory, const struct vhost_user_region *region,
	       int fd)
{
	int result;

	if (memory->count == MEMORY_REGIONS_MAX)
		return error_record(-ENOSPC, "more than %d memory regions",
				    MEMORY_REGIONS_MAX);
	if (!region_is_sane(region))
		return error_record(-EINVAL,
				    "memory region: guest %#" PRIx64
				    ", user %#" PRIx64 ", %" PRIu64
				    " bytes at offset %" PRIu64
				    " is empty, too large or wraps around",
				    region->guest_address,
				    region->user_address, region->size,
				    region->mmap_offset);
	if (region_overlaps(memory, region))
		return error_record(-EEXIST,
				    "memory region: guest %#" PRIx64
				    " overlaps another one",
				    region->guest_address);
	result = check_file_size(region, fd);
	if (result)
		return result;
	result = region_map(&memory->regions[memory->count], region, fd);
	if (!result)
		memory->count++;
	return result;
}

static void region_unmap(const struct memory_region *region)
{
	guard_forget(region->mapping);
	munmap(region->mapping, region->mapping_bytes);
}

int memory_remove(struct memory *memory,
		  const struct vhost_user_region *region)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++) {
		struct memory_region *mapped = &memory->regions[i];

		if (mapped->guest_address != region->guest_address ||
		    mapped->user_address != region->user_address ||
		    mapped->size_bytes != region->size)
			continue;
		region_unmap(mapped);
		*mapped = memory->regions[--memory->count];
		return 0;
	}
	return error_record(-ENOENT,
			    "memory region: none at guest %#" PRIx64
			    " of %" PRIu64 " bytes to remove",
			    region->guest_address, region->size);
}

void memory_clear(struct memory *memory)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++)
		region_unmap(&memory->regions[i]);
	memory->count = 0;
}

bool memory_was_cut(const struct memory *memory)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++)
		if (guard_was_cut(memory->regions[i].mapping))
			return true;
	return false;
}

const struct memory_region *memory_find_guest(const struct memory *memory,
					      uint64_t address)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++)
		if (memory_region_holds(&memory->regions[i], address, 1))
			return &memory->regions[i];
	return NULL;
}

void *memory_from_user(const struct memory *memory, uint64_t address,
		       uint64_t bytes)
{
	unsigned int i;

	for (i = 0; i < memory->count; i++) {
		const struct memory_region *region = &memory->regions[i];
		uint64_t offset = address - region->user_address;

		if (offset < region->size_bytes &&
		    bytes <= region->size_bytes - offset)
			return region->host + offset;
	}
	return NULL;
}
