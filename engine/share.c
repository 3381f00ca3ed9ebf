/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Regions told to the back-end; see share.h. */
#include "share.h"

#include <errno.h>

#include "device.h"
#include "error.h"

static void describe_region(const struct memory_region *region,
			    struct vhost_user_region *wire)
{
	/* One address on both sides: see memory.h. */
	wire->guest_address = wire->user_address = (uintptr_t)region->address;
	wire->size = region->size_bytes;
	wire->mmap_offset = region->file_offset_bytes;
}

static int check_slots(const struct device *dev)
{
	if (memory_num_regions(dev->memory) <= dev->disk.info.max_mem_slots)
		return 0;
	return error_set(ENOSPC, "%s: the back-end takes %u memory regions at "
		"most: set hugepage_mem to what all jobs need together, in MiB",
		dev->vu.path, dev->disk.info.max_mem_slots);
}

static int share_region(struct device *dev)
{
	const struct memory_region *region = &dev->memory->regions[dev->num_shared];
	struct vhost_user_region wire;
	int code;

	describe_region(region, &wire);
	code = vhost_user_add_mem_reg(&dev->vu, &wire, region->fd);
	if (!code)
		dev->num_shared++;
	return code;
}

static int share_table(struct device *dev)
{
	struct vhost_user_mem_table table = { 0 };
	unsigned int num_regions = memory_num_regions(dev->memory);
	int fds[MEMORY_MAX_REGIONS], code;

	while (table.num_regions < num_regions) {
		unsigned int i = table.num_regions++;

		describe_region(&dev->memory->regions[i], &table.regions[i]);
		fds[i] = dev->memory->regions[i].fd;
	}
	code = vhost_user_set_mem_table(&dev->vu, &table, fds);
	if (!code)
		dev->num_shared = table.num_regions;
	return code;
}

static bool takes_single_regions(const struct device *dev)
{
	return vhost_user_has_protocol(&dev->vu,
				       VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

int share_memory(struct device *dev)
{
	int code = check_slots(dev);

	if (code)
		return code;
	if (!takes_single_regions(dev))
		return share_table(dev);
	while (!code && dev->num_shared < memory_num_regions(dev->memory))
		code = share_region(dev);
	return code;
}

/* SET_MEM_TABLE replaces what running rings lie in: not while they do. */
static int check_takes_more(const struct device *dev)
{
	if (takes_single_regions(dev))
		return 0;
	return error_set(ENOSPC, "%s: more shared memory is needed and the "
		"back-end cannot take it while it runs: set hugepage_mem to "
		"what is needed in all, in MiB", dev->vu.path);
}

int share_check_growth(const struct device *dev)
{
	unsigned int slots = dev->disk.info.max_mem_slots;

	if (memory_num_regions(dev->memory) < slots)
		return check_takes_more(dev);
	return error_set(ENOSPC, "%s: more shared memory is needed and all %u "
		"regions that the back-end takes are in use: set hugepage_mem "
		"to what is needed in all, in MiB", dev->vu.path, slots);
}

int share_more(struct device *dev)
{
	int code;

	if (dev->num_shared == memory_num_regions(dev->memory))
		return 0;
	code = check_takes_more(dev);
	return code ? code : share_memory(dev);
}
