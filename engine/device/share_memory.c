/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells the back-end about regions; see device/share_memory.h. */
#include "device/share_memory.h"

#include <errno.h>
#include <unistd.h>

#include "device/device.h"
#include "base/error.h"
#include "base/remedies.h"

/* With fewer slots to spare, no memory is left with the back-end. */
#define FEW_SLOTS 8u

static uint32_t known_regions(const struct device *dev)
{
	return __atomic_load_n(&dev->shared.regions, __ATOMIC_ACQUIRE);
}

static void note_known(struct device *dev, uint32_t regions)
{
	__atomic_fetch_or(&dev->shared.regions, regions, __ATOMIC_RELEASE);
}

static bool is_known(const struct device *dev, unsigned int index)
{
	return known_regions(dev) >> index & 1;
}

/* ---- limits of the back-end -------------------------------------------------- */

bool share_takes_single_regions(const struct device *dev)
{
	return vhost_user_has_protocol(&dev->vu,
				       VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

/* The number of regions that the back-end does not know yet. */
static unsigned int num_unknown(const struct device *dev)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < memory_num_regions(dev->memory); i++)
		count += !is_known(dev, i);
	return count;
}

/* The rings cannot run before the back-end knows a region. */
static bool is_running(const struct device *dev)
{
	return known_regions(dev) != 0;
}

unsigned int share_count(const struct device *dev)
{
	return foreign_count(&dev->shared.foreign) +
	       (unsigned int)__builtin_popcount(known_regions(dev));
}

static int refuse_growth(const struct device *dev)
{
	unsigned int slots = dev->disk.info.max_mem_slots;

	if (!is_running(dev))
		return error_set(ENOSPC, "%s: the back-end takes %u memory regions "
			"at most: %s", dev->vu.path, slots, remedies.all_memory);
	return error_set(ENOSPC, "%s: more shared memory is needed and all %u "
		"regions that the back-end takes are in use: %s", dev->vu.path,
		slots, remedies.all_memory);
}

/* SET_MEM_TABLE replaces the memory of the rings, so it cannot be sent while they
 * run. */
int share_check_takes(const struct device *dev, unsigned int count)
{
	unsigned int slots = dev->disk.info.max_mem_slots, used = share_count(dev);

	if (count && dev->vu.is_dead)
		return error_set(ENOTCONN, "%s: more shared memory is needed and "
			"the connection to the back-end is closed", dev->vu.path);
	if (count && (used >= slots || count > slots - used))
		return refuse_growth(dev);
	if (!count || !is_running(dev) || share_takes_single_regions(dev))
		return 0;
	return error_set(ENOSPC, "%s: more shared memory is needed and the "
		"back-end cannot take it while it runs: %s",
		dev->vu.path, remedies.all_memory);
}

/* ---- telling ------------------------------------------------------------------- */

/* The address is the same on both sides; see memory/regions.h. */
struct vhost_user_region share_as_sent(const void *address, size_t size_bytes,
				       uint64_t file_offset_bytes)
{
	return (struct vhost_user_region){
		.guest_address = (uintptr_t)address,
		.user_address = (uintptr_t)address,
		.size = size_bytes,
		.mmap_offset = file_offset_bytes,
	};
}

static int tell_region(struct device *dev, const struct memory_region *region)
{
	struct vhost_user_region sent = share_as_sent(region->address,
						region->size_bytes, 0);

	return vhost_user_add_mem_reg(&dev->vu, &sent, region->fd);
}

/* A region that was accepted is known even if a later one is refused. */
static int tell_one_by_one(struct device *dev, const struct memory_region *more)
{
	unsigned int count = memory_num_regions(dev->memory);
	int code = 0;

	for (unsigned int i = 0; !code && i < count; i++) {
		if (is_known(dev, i))
			continue;
		code = tell_region(dev, &dev->memory->regions[i]);
		if (!code)
			note_known(dev, 1u << i);
	}
	return !code && more ? tell_region(dev, more) : code;
}

static void add_to_table(struct vhost_user_mem_table *table, int *fds,
			 const struct memory_region *region)
{
	fds[table->num_regions] = region->fd;
	table->regions[table->num_regions++] =
		share_as_sent(region->address, region->size_bytes, 0);
}

static int tell_table(struct device *dev, const struct memory_region *more)
{
	struct vhost_user_mem_table table = { 0 };
	unsigned int count = memory_num_regions(dev->memory);
	int fds[VHOST_USER_MAX_REGIONS], code;

	for (unsigned int i = 0; i < count; i++)
		add_to_table(&table, fds, &dev->memory->regions[i]);
	if (more && count < VHOST_USER_MAX_REGIONS)
		add_to_table(&table, fds, more);
	code = vhost_user_set_mem_table(&dev->vu, &table, fds);
	if (!code)
		note_known(dev, (uint32_t)((1ull << count) - 1));
	return code;
}

static bool is_ordinary(const struct memory_region *region)
{
	return region->page_bytes < MEMORY_ALIGNMENT;
}

static bool has_ordinary_pages(const struct device *dev, const struct memory_region *more)
{
	bool is_found = more && is_ordinary(more);

	for (unsigned int i = 0; i < memory_num_regions(dev->memory); i++)
		is_found |= is_ordinary(&dev->memory->regions[i]);
	return is_found;
}

static bool took_ordinary_pages(const struct device *dev)
{
	bool is_found = false;

	for (unsigned int i = 0; i < memory_num_regions(dev->memory); i++)
		is_found |= is_known(dev, i) && is_ordinary(&dev->memory->regions[i]);
	return is_found;
}

/* Some back-ends end, or hang up, when they are told of memory on ordinary pages. */
static int explain_refusal(const struct device *dev, const struct memory_region *more,
			   int code)
{
	struct error_kept kept = error_keep();
	size_t needed_bytes = memory_bytes(dev->memory) + (more ? more->size_bytes : 0);
	char advice[200];

	if ((code != -ECONNRESET && code != -EREMOTEIO) || !has_ordinary_pages(dev, more) ||
	    took_ordinary_pages(dev))
		return code;
	memory_advise_huge_pages(advice, sizeof(advice), needed_bytes);
	return error_set(-code, "%s. The memory is on ordinary pages, and some back-ends "
			 "take only huge pages (SPDK, unless it was started with "
			 "--iova-mode va): %s, and use hugepages=2m", kept.sentence, advice);
}

/* more: a mapped region that is not part of the memory yet, or NULL. */
static int tell(struct device *dev, const struct memory_region *more)
{
	unsigned int count = num_unknown(dev) + (more != NULL);
	int code = share_check_takes(dev, count);

	if (code || !count)
		return code;
	code = share_takes_single_regions(dev) ? tell_one_by_one(dev, more) :
					   tell_table(dev, more);
	return explain_refusal(dev, more, code);
}

int share_memory(struct device *dev)
{
	return tell(dev, NULL);
}

/* For a region that could not become part of the memory. */
static void take_back(struct device *dev, const struct memory_region *region)
{
	struct vhost_user_region told = share_as_sent(region->address, region->size_bytes, 0);
	struct error_kept kept = error_keep();

	if (share_takes_single_regions(dev) && !dev->vu.is_dead)
		vhost_user_rem_mem_reg(&dev->vu, &told);
	error_restore(&kept);
}

int share_new_region(struct device *dev, size_t size_bytes)
{
	struct memory_region region;
	int code = share_check_takes(dev, 1), index;

	if (!code)
		code = memory_map_region(dev->memory, size_bytes, &region);
	if (code)
		return code;
	code = tell(dev, &region);
	index = code ? code : memory_append_region(dev->memory, &region);
	if (!code && index < 0)
		take_back(dev, &region);
	if (index < 0) {
		memory_unmap_region(&region);
		return index;
	}
	note_known(dev, 1u << index);
	return 0;
}

/* A table holds all regions, also those that this device does not use. */
int share_again(struct device *dev, uint32_t regions)
{
	int code = 0;

	if (!share_takes_single_regions(dev))
		return tell_table(dev, NULL);
	for (unsigned int i = 0; !code && i < memory_num_regions(dev->memory); i++)
		if (regions >> i & 1)
			code = tell_region(dev, &dev->memory->regions[i]);
	return code;
}

static void forget(struct device *dev)
{
	for (unsigned int i = 0; i < memory_num_regions(dev->memory); i++) {
		if (is_known(dev, i))
			take_back(dev, &dev->memory->regions[i]);
	}
	foreign_close(&dev->shared.foreign);
	dev->shared = (struct shared){ 0 };
}

/* ---- former regions ------------------------------------------------------------------ */

/* A back-end with few slots needs them for the memory that comes next. */
static bool has_slots_to_spare(const struct device *dev)
{
	unsigned int used = share_count(dev);

	return dev->disk.info.max_mem_slots >= FEW_SLOTS + used &&
	       used <= FOREIGN_MAX;
}

/* libvhost-user keeps the addresses of rings that were stopped, looks them up when it is
 * told of a further region, and hangs up if it does not find them. */
bool share_leave(struct device *dev)
{
	uint32_t known = known_regions(dev);

	if (!share_takes_single_regions(dev) || !has_slots_to_spare(dev)) {
		forget(dev);
		return false;
	}
	__atomic_store_n(&dev->shared.regions, 0, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < memory_num_regions(dev->memory); i++)
		if (known >> i & 1)
			foreign_add(&dev->shared.foreign, dev->memory->regions[i].address,
				    dev->memory->regions[i].size_bytes, 0, -1);
	return true;
}

/* ---- looking up -------------------------------------------------------------------- */

bool share_lend(struct device *dev, const void *address, size_t size_bytes, uint32_t *lent)
{
	int region = memory_find(dev->memory, address, size_bytes);

	if (region >= 0)
		return is_known(dev, (unsigned int)region);
	return foreign_lend(&dev->shared.foreign, address, size_bytes, lent);
}

/* The regions of which the back-end was told, whether it took them or not. */
static uint32_t told_regions(const struct device *dev)
{
	return known_regions(dev) | __atomic_load_n(&dev->shared.refused, __ATOMIC_RELAXED);
}

bool share_lacks_some(const struct device *dev)
{
	uint32_t all = (1u << memory_num_regions(dev->memory)) - 1;

	return (all & ~told_regions(dev)) != 0;
}

bool share_could_learn(const struct device *dev, const void *address, size_t size_bytes)
{
	int region = memory_find(dev->memory, address, size_bytes);

	return region >= 0 && share_takes_single_regions(dev) &&
	       !(told_regions(dev) >> region & 1);
}

int share_learn(struct device *dev, const void *address, size_t size_bytes)
{
	int region = memory_find(dev->memory, address, size_bytes), code;

	/* Another thread may have told the back-end in the meantime. */
	if (is_known(dev, (unsigned int)region))
		return 0;
	code = share_check_takes(dev, 1);
	if (!code)
		code = tell_region(dev, &dev->memory->regions[region]);
	if (code)
		__atomic_fetch_or(&dev->shared.refused, 1u << region, __ATOMIC_RELAXED);
	else
		note_known(dev, 1u << region);
	return code;
}
