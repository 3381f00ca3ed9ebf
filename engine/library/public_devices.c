/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The functions of library/pyfio_virtio.h that open, describe and close devices, and
 * those for memory. Each converts its structures and calls the function of api.h. Any
 * thread, as far as the header allows it. Only other programs call this file.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "library/public.h"
#include "library/sized.h"

/* ---- about the library --------------------------------------------------------- */

const char *pyfio_version(void)
{
	return engine_version();
}

const char *pyfio_error_message(void)
{
	return error_message();
}

_Static_assert((int)PYFIO_WAIT_DEFAULT == (int)WAIT_DEFAULT, "one numbering");
_Static_assert((int)PYFIO_WAIT_ADAPTIVE == (int)WAIT_ADAPTIVE, "one numbering");

const char *pyfio_wait_name(int wait)
{
	return wait_name(wait);
}

int pyfio_wait_named(const char *name)
{
	return wait_named(name ? name : "");
}

/* ---- what a program asks for ---------------------------------------------------- */

_Static_assert((int)PYFIO_DEVICE_BLK == (int)DEVICE_BLK, "one numbering");
_Static_assert((int)PYFIO_DEVICE_SCSI == (int)DEVICE_SCSI, "one numbering");
_Static_assert((int)PYFIO_HUGEPAGES_1G == (int)HUGEPAGES_1G, "one numbering");
_Static_assert((int)PYFIO_CHOICE_OFF == (int)CHOICE_OFF, "one numbering");

/* A program that was compiled with a newer header may use a new enumerator. */
static int check_value(const char *name, int value, int most)
{
	if (value >= 0 && value <= most)
		return 0;
	return error_set(EINVAL, "%s=%d: this library knows the values from 0 to %d",
			 name, value, most);
}

static int check_values(const struct pyfio_device_config *config)
{
	int type = config->type;

	if (type && type != PYFIO_DEVICE_BLK && type != PYFIO_DEVICE_SCSI)
		return error_set(EINVAL, "type=%d: this library knows the values %d, "
				 "%d and %d", type, PYFIO_DEVICE_AUTO,
				 PYFIO_DEVICE_BLK, PYFIO_DEVICE_SCSI);
	if (check_value("indirect", config->indirect, PYFIO_CHOICE_OFF) ||
	    check_value("event_idx", config->event_idx, PYFIO_CHOICE_OFF) ||
	    check_value("hugepages", config->hugepages, PYFIO_HUGEPAGES_1G))
		return -EINVAL;
	return check_value("scsi_address_set", (int)config->scsi_address_set, 1);
}

int public_config(struct device_config *config,
		  const struct pyfio_device_config *theirs)
{
	struct pyfio_device_config ours;
	int code = sized_take(&ours, theirs, sizeof(ours), "pyfio_device_config");

	if (!code)
		code = check_values(&ours);
	*config = (struct device_config){
		.socket = ours.socket,
		.type = ours.type,
		.indirect = ours.indirect,
		.event_idx = ours.event_idx,
		.hugepages = ours.hugepages,
		.num_queues = ours.num_queues,
		.queue_size = ours.queue_size,
		.depth = ours.depth,
		.connect_timeout_ms = ours.connect_timeout_ms,
		.reconnect_timeout_ms = ours.reconnect_timeout_ms,
		.scsi_target = ours.scsi_target,
		.scsi_lun = ours.scsi_lun,
		.scsi_address_set = ours.scsi_address_set,
		.memory_bytes = ours.memory_bytes,
		.memory = (struct memory *)ours.memory,
		.max_request_bytes = ours.max_request_bytes,
	};
	return code;
}

/* ---- devices --------------------------------------------------------------------- */

int public_is_missing(const void *object, const char *name)
{
	return object ? 0 : error_set(EINVAL, "the %s is missing", name);
}

int pyfio_device_open(struct pyfio_device **dev,
		      const struct pyfio_device_config *theirs)
{
	struct device_config config;
	int code = public_is_missing(dev, "place for the device");

	if (code)
		return code;
	*dev = NULL;
	code = public_config(&config, theirs);
	return code ? code : device_open((struct device **)dev, &config);
}

int pyfio_device_start(struct pyfio_device *dev)
{
	int code = public_is_missing(dev, "device");

	return code ? code : device_start((struct device *)dev);
}

void pyfio_device_identify(struct pyfio_device *dev)
{
	if (dev)
		device_identify((struct device *)dev);
}

unsigned int pyfio_device_num_disks(const struct pyfio_device *dev)
{
	struct disk_summary none;

	return dev ? device_list_disks((const struct device *)dev, &none, 0) : 0;
}

/* The exponent is the back-end's; as for the chosen disk, a large one is not believed. */
static unsigned int physical_block_size(const struct disk_summary *disk)
{
	return disk->physical_exponent < 12 ?
	       disk->block_size << disk->physical_exponent : disk->block_size;
}

int pyfio_device_get_disk(const struct pyfio_device *dev, unsigned int index,
			  struct pyfio_disk_summary *theirs)
{
	struct pyfio_disk_summary ours = { .struct_size = sizeof(ours) };
	struct disk_summary disks[DEVICE_MAX_DISKS];
	unsigned int count = pyfio_device_num_disks(dev);
	const struct disk_summary *disk;

	if (index >= count)
		return error_set(ENOENT, "there is no disk %u: the device has %u", index,
				 count);
	device_list_disks((const struct device *)dev, disks, DEVICE_MAX_DISKS);
	disk = &disks[index];
	ours.capacity_bytes = disk->capacity_bytes;
	ours.target = disk->target;
	ours.lun = disk->lun;
	ours.block_size = disk->block_size;
	ours.physical_block_size = physical_block_size(disk);
	memcpy(ours.vendor, disk->vendor, sizeof(ours.vendor));
	memcpy(ours.product, disk->product, sizeof(ours.product));
	memcpy(ours.serial, disk->serial, sizeof(ours.serial));
	ours.is_thin = disk->is_thin;
	return sized_give(theirs, &ours, sizeof(ours), "pyfio_disk_summary");
}

static struct pyfio_device_info
public_info(const struct device_info *info, const struct device_reconnects *reconnects)
{
	struct pyfio_device_info ours = {
		.struct_size = sizeof(ours),
		.capacity_bytes = info->capacity_bytes,
		.offered_features = info->offered_features,
		.features = info->features,
		.offered_protocol = info->offered_protocol,
		.protocol = info->protocol,
		.max_discard_bytes = info->max_discard_bytes,
		.max_write_zeroes_bytes = info->max_write_zeroes_bytes,
		.max_discard_segments = info->max_discard_segments,
		.discard_alignment = info->discard_alignment,
		.max_write_zeroes_segments = info->max_write_zeroes_segments,
		.type = info->type,
		.block_size = info->block_size,
		.physical_block_size = info->physical_block_size,
		.optimal_io_size = info->optimal_io_size,
		.max_queues = info->max_queues,
		.max_mem_slots = info->max_mem_slots,
		.size_max = info->size_max,
		.seg_max = info->seg_max,
		.num_queues = info->num_queues,
		.queue_size = info->queue_size,
		.page_size = info->page_size,
		.read_only = info->read_only,
		.can_flush = info->can_flush,
		.can_discard = info->can_discard,
		.can_write_zeroes = info->can_write_zeroes,
		.has_config = info->has_config,
		.writeback = info->writeback,
		.hugepages_short = info->hugepages_short,
		.reconnects = reconnects->count,
		.replayed = reconnects->replayed,
		.away_ns = reconnects->away_ns,
		.longest_away_ns = reconnects->longest_away_ns,
	};

	memcpy(ours.id, info->id, sizeof(ours.id));
	return ours;
}

int pyfio_device_describe(const struct pyfio_device *dev,
			  struct pyfio_device_info *theirs)
{
	struct pyfio_device_info ours;
	struct device_info info;
	struct device_reconnects reconnects;
	int code = public_is_missing(dev, "device");

	if (code)
		return code;
	device_describe((const struct device *)dev, &info);
	device_count_reconnects((struct device *)dev, &reconnects);
	ours = public_info(&info, &reconnects);
	return sized_give(theirs, &ours, sizeof(ours), "pyfio_device_info");
}

/* Also for an attached device, so that a program cannot choose the wrong one of the
 * two functions. */
void pyfio_device_close(struct pyfio_device *dev)
{
	device_detach((struct device *)dev);
}

/* ---- memory ------------------------------------------------------------------------ */

struct pyfio_memory *pyfio_memory_create(int hugepages)
{
	if (check_value("hugepages", hugepages, PYFIO_HUGEPAGES_1G))
		return NULL;
	return (struct pyfio_memory *)memory_create(hugepages);
}

void pyfio_memory_keep(struct pyfio_memory *memory)
{
	if (memory)
		memory_keep((struct memory *)memory);
}

void pyfio_memory_destroy(struct pyfio_memory *memory)
{
	memory_destroy((struct memory *)memory);
}

void pyfio_memory_free(struct pyfio_memory *memory, void *address)
{
	if (memory && address)
		memory_free((struct memory *)memory, address);
}

void *pyfio_device_alloc(struct pyfio_device *dev, size_t size_bytes, size_t alignment)
{
	if (public_is_missing(dev, "device"))
		return NULL;
	return device_alloc((struct device *)dev, size_bytes, alignment);
}

void pyfio_device_free(struct pyfio_device *dev, void *address)
{
	if (dev && address)
		device_free((struct device *)dev, address);
}

int pyfio_device_register_memory(struct pyfio_device *dev, void *address,
				 size_t size_bytes, int fd, uint64_t file_offset_bytes)
{
	int code = public_is_missing(dev, "device");

	return code ? code : device_register_memory((struct device *)dev, address,
						    size_bytes, fd, file_offset_bytes);
}

int pyfio_device_unregister_memory(struct pyfio_device *dev, void *address)
{
	int code = public_is_missing(dev, "device");

	return code ? code : device_unregister_memory((struct device *)dev, address);
}
