/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared regions; see memory/regions.h. */
#include "memory/regions.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/remedies.h"

#define SIZE_2M (2ul << 20)
#define SIZE_1G (1ul << 30)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older kernels answer EINVAL */
#endif

static size_t round_up(size_t value, size_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

void memory_init(struct memory *memory, int hugepages)
{
	memset(memory, 0, sizeof(*memory));
	pthread_mutex_init(&memory->lock, NULL);
	extents_init(&memory->extents);
	TAILQ_INIT(&memory->holds);
	memory->hugepages = hugepages;
}

/* The count is set to 0 before the files are closed. Otherwise a process that is
 * forked in the meantime could close a file that has reused a descriptor. */
void memory_forget_inherited(struct memory *memory)
{
	unsigned int count = memory_num_regions(memory);

	__atomic_store_n(&memory->num_regions, 0, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < count; i++)
		memory_unmap_region(&memory->regions[i]);
}

void memory_close(struct memory *memory)
{
	struct memory_hold *hold;

	while ((hold = TAILQ_FIRST(&memory->holds))) {
		TAILQ_REMOVE(&memory->holds, hold, link);
		free(hold->block);
	}
	extents_close(&memory->extents);
	memory_forget_inherited(memory);
	pthread_mutex_destroy(&memory->lock);
}

struct memory *memory_create(int hugepages)
{
	struct memory *memory = malloc(sizeof(*memory));

	if (!memory) {
		error_set(ENOMEM, "no memory for a list of shared memory");
		return NULL;
	}
	memory_init(memory, hugepages);
	memory->keepers = 1;
	return memory;
}

void memory_keep(struct memory *memory)
{
	__atomic_fetch_add(&memory->keepers, 1, __ATOMIC_RELAXED);
}

void memory_destroy(struct memory *memory)
{
	if (!memory || __atomic_sub_fetch(&memory->keepers, 1, __ATOMIC_ACQ_REL))
		return;
	memory_close(memory);
	free(memory);
}

/* ---- regions ------------------------------------------------------------ */

static size_t huge_pages(size_t page_bytes, const char *which)
{
	char path[96];
	size_t pages = 0;
	FILE *file;

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%zukB/%s_hugepages",
		 page_bytes >> 10, which);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%zu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages;
}

static void advise(char *advice, size_t advice_size, size_t page_bytes,
		   size_t size_bytes)
{
	size_t needed = round_up(size_bytes, page_bytes) / page_bytes;
	size_t free_pages = huge_pages(page_bytes, "free");
	size_t in_use = huge_pages(page_bytes, "nr") - free_pages;

	snprintf(advice, advice_size,
		 "%zu huge pages of %zu MiB are needed and %zu are free: "
		 "add them with: echo %zu > "
		 "/sys/kernel/mm/hugepages/hugepages-%zukB/nr_hugepages (as root)",
		 needed, page_bytes >> 20, free_pages, in_use + needed,
		 page_bytes >> 10);
}

void memory_advise_huge_pages(char *advice, size_t advice_size, size_t size_bytes)
{
	advise(advice, advice_size, SIZE_2M, size_bytes);
}

static int huge_pages_short(size_t page_bytes, size_t size_bytes)
{
	char advice[200];

	advise(advice, sizeof(advice), page_bytes, size_bytes);
	return error_set(ENOMEM, "%s, or use hugepages=auto", advice);
}

/* Reserves the address range first, so that a region can be aligned to 2 MiB
 * even when its pages are small. */
static void *map_aligned(int fd, size_t size_bytes, size_t alignment)
{
	size_t reserved = size_bytes + alignment;
	char *base = mmap(NULL, reserved, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start, *mapped;

	if (base == MAP_FAILED)
		return MAP_FAILED;
	start = (char *)round_up((uintptr_t)base, alignment);
	mapped = mmap(start, size_bytes, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED, fd, 0);
	if (mapped == MAP_FAILED) {
		int code = errno;

		munmap(base, reserved);
		errno = code;
		return MAP_FAILED;
	}
	if (start > base)
		munmap(base, start - base);
	munmap(start + size_bytes, base + alignment - start);
	return mapped;
}

static unsigned int memfd_flags(size_t page_bytes)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

	if (page_bytes == SIZE_2M)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	else if (page_bytes == SIZE_1G)
		flags |= MFD_HUGETLB | MFD_HUGE_1GB;
	return flags;
}

/* The file is sealed, because a back-end that maps it would get SIGBUS if it shrank. */
static int make_file(size_t size_bytes, size_t page_bytes)
{
	int fd = memfd_create("pyfio-virtio", memfd_flags(page_bytes));

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size_bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		int code = errno;

		close(fd);
		return -code;
	}
	return fd;
}

/* Maps one region on pages of page_bytes. Its size is a multiple of 2 MiB, because
 * some back-ends take nothing else. The pages are populated now, so that there is no
 * page fault in the middle of a measurement. */
static int map_region(struct memory_region *region, size_t size_bytes,
		      size_t page_bytes)
{
	size_t alignment = page_bytes > SIZE_2M ? page_bytes : SIZE_2M;

	region->page_bytes = page_bytes;
	region->size_bytes = round_up(size_bytes, alignment);
	region->fd = make_file(region->size_bytes, page_bytes);
	if (region->fd < 0)
		return region->fd;
	region->address = map_aligned(region->fd, region->size_bytes, alignment);
	if (region->address == MAP_FAILED) {
		int code = errno;

		close(region->fd);
		return -code;
	}
	if (page_bytes < SIZE_2M)
		madvise(region->address, region->size_bytes, MADV_HUGEPAGE);
	if (madvise(region->address, round_up(size_bytes, page_bytes),
		    MADV_POPULATE_WRITE) && errno != EINVAL) {
		int code = errno;

		munmap(region->address, region->size_bytes);
		close(region->fd);
		return -code;
	}
	return 0;
}

static int map_huge_or_fail(struct memory_region *region, size_t size_bytes,
			    size_t page_bytes)
{
	int code = map_region(region, size_bytes, page_bytes);

	/* A page size that the CPU lacks is refused with EINVAL or ENODEV. */
	if (code == -ENOMEM || code == -EINVAL || code == -ENODEV || code == -ENOENT)
		return huge_pages_short(page_bytes, size_bytes);
	if (code)
		return error_set(-code, "cannot share memory on huge pages of "
			"%zu MiB: %s", page_bytes >> 20, strerror(-code));
	return 0;
}

/* Populating more memory than there is would make the kernel kill a process. */
static size_t available_bytes(void)
{
	char line[128];
	size_t available_kib = SIZE_MAX >> 10;
	FILE *file = fopen("/proc/meminfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %zu kB", &available_kib) == 1)
			break;
	if (file)
		fclose(file);
	return available_kib << 10;
}

static int map_ordinary(struct memory_region *region, size_t size_bytes)
{
	int code = -ENOMEM;

	if (size_bytes < available_bytes())
		code = map_region(region, size_bytes,
				  (size_t)sysconf(_SC_PAGESIZE));
	if (code)
		return error_set(-code,
			"cannot share %zu MiB of memory (%s): %s",
			size_bytes >> 20, strerror(-code), remedies.less_memory);
	return 0;
}

static int map_auto(struct memory_region *region, size_t size_bytes)
{
	size_t needed = round_up(size_bytes, SIZE_2M) / SIZE_2M;

	if (huge_pages(SIZE_2M, "free") >= needed &&
	    !map_region(region, size_bytes, SIZE_2M))
		return 0;
	return map_ordinary(region, size_bytes);
}

static int map_as_asked(int hugepages, struct memory_region *region, size_t size_bytes)
{
	switch (hugepages) {
	case HUGEPAGES_2M:
		return map_huge_or_fail(region, size_bytes, SIZE_2M);
	case HUGEPAGES_1G:
		return map_huge_or_fail(region, size_bytes, SIZE_1G);
	case HUGEPAGES_OFF:
		return map_ordinary(region, size_bytes);
	default:
		return map_auto(region, size_bytes);
	}
}

unsigned int memory_num_regions(const struct memory *memory)
{
	return __atomic_load_n(&memory->num_regions, __ATOMIC_ACQUIRE);
}

size_t memory_bytes(const struct memory *memory)
{
	unsigned int count = memory_num_regions(memory);
	size_t bytes = 0;

	for (unsigned int i = 0; i < count; i++)
		bytes += memory->regions[i].size_bytes;
	return bytes;
}

static int check_room(const struct memory *memory)
{
	if (memory_num_regions(memory) < MEMORY_MAX_REGIONS)
		return 0;
	return error_set(ENOSPC,
		"all %d memory regions are in use: %s", MEMORY_MAX_REGIONS,
		remedies.all_memory);
}

int memory_map_region(struct memory *memory, size_t size_bytes,
		      struct memory_region *region)
{
	int code = check_room(memory);

	*region = (struct memory_region){ 0 };
	if (code)
		return code;
	return map_as_asked(memory->hugepages, region, size_bytes ? size_bytes : 1);
}

void memory_unmap_region(const struct memory_region *region)
{
	munmap(region->address, region->size_bytes);
	close(region->fd);
}

/* The region is stored before it is counted, because readers take no lock. */
static int append_locked(struct memory *memory, const struct memory_region *region)
{
	unsigned int index = memory->num_regions;
	int code = check_room(memory);

	if (code)
		return code;
	if (!extents_add(&memory->extents, region->address, region->size_bytes, index))
		return error_set(ENOMEM, "no memory to record the region");
	memory->regions[index] = *region;
	memory->fell_back |= memory->hugepages == HUGEPAGES_AUTO &&
			     region->page_bytes < SIZE_2M;
	__atomic_store_n(&memory->num_regions, index + 1, __ATOMIC_RELEASE);
	return (int)index;
}

int memory_append_region(struct memory *memory, const struct memory_region *region)
{
	int index;

	pthread_mutex_lock(&memory->lock);
	index = append_locked(memory, region);
	pthread_mutex_unlock(&memory->lock);
	return index;
}

int memory_add_region(struct memory *memory, size_t size_bytes)
{
	struct memory_region region;
	int index = memory_map_region(memory, size_bytes, &region);

	if (index)
		return index;
	index = memory_append_region(memory, &region);
	if (index < 0)
		memory_unmap_region(&region);
	return index;
}

/* ---- allocation ---------------------------------------------------------- */

void *memory_alloc_in(struct memory *memory, size_t size_bytes, size_t alignment,
		      uint32_t regions)
{
	void *address;

	pthread_mutex_lock(&memory->lock);
	address = extents_alloc(&memory->extents, size_bytes, alignment, regions);
	pthread_mutex_unlock(&memory->lock);
	return address;
}

void *memory_alloc(struct memory *memory, size_t size_bytes, size_t alignment)
{
	return memory_alloc_in(memory, size_bytes, alignment, MEMORY_ALL_REGIONS);
}

/* ---- looking up -------------------------------------------------------------- */

int memory_find(const struct memory *memory, const void *address, size_t size_bytes)
{
	unsigned int count = memory_num_regions(memory);

	for (unsigned int i = 0; i < count; i++) {
		const struct memory_region *region = &memory->regions[i];
		size_t offset = (uintptr_t)address - (uintptr_t)region->address;

		if (offset < region->size_bytes &&
		    region->size_bytes - offset >= size_bytes)
			return (int)i;
	}
	return -1;
}
