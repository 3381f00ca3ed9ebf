/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares a disk with the one in use; see device/same_disk.h. */
#include "device/same_disk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "device/device.h"
#include "device/discover.h"
#include "device/start.h"

/* ---- asking -------------------------------------------------------------------- */

static void choose_small(struct device *fresh, const struct device *dev)
{
	struct device_config *config = &fresh->config;
	const uint8_t *lun = dev->disk.scsi_lun;

	config->num_queues = 1;
	config->depth = 1;
	config->queue_size = 0;
	config->memory_bytes = 0;
	config->max_request_bytes = 4096;
	config->scsi_address_set = true;
	config->scsi_target = lun[1];
	config->scsi_lun = (lun[2] & 0x3fu) << 8 | lun[3];
}

/* A back-end that is only starting may not have its disk yet. */
static int find_scsi(struct device *fresh)
{
	int code = discover_scsi(fresh);

	return code == -ENODEV ? -ENXIO : code;
}

static int ask_disk(struct device *fresh)
{
	struct disk before = fresh->disk;

	if (before.info.type == DEVICE_SCSI) {
		fresh->disks = calloc(DEVICE_MAX_DISKS, sizeof(*fresh->disks));
		return fresh->disks ? find_scsi(fresh) :
		       error_set(ENOMEM, "no memory for a list of disks");
	}
	discover_blk_id(fresh);
	/* The limits were those of the small ring. */
	memcpy(before.info.id, fresh->disk.info.id, sizeof(before.info.id));
	fresh->disk = before;
	return 0;
}

/* A back-end that is only starting may answer later, so this is tried again. */
static int check_answered(const struct device *fresh)
{
	if (!queue_in_flight(&fresh->queues[fresh->first_queue]))
		return 0;
	return error_set(ETIMEDOUT, "the back-end does not answer the question for the disk's "
			 "ID");
}

/* No connection uses the former memory any more. Huge pages may all be in use, and most
 * back-ends take other ones. */
static void renew_memory(struct device *dev)
{
	bool is_off = dev->config.hugepages == HUGEPAGES_OFF;

	memory_close(&dev->early_memory);
	memory_init(&dev->early_memory, is_off ? HUGEPAGES_OFF : HUGEPAGES_AUTO);
}

/* On a small ring in memory of its own, because the rings in use hold requests. The
 * back-end may know this memory until the end of the connection; see share_leave(). */
static int ask(struct device *dev, struct device *fresh)
{
	struct error_kept first;
	int code;

	renew_memory(dev);
	fresh->memory = &dev->early_memory;
	choose_small(fresh, dev);
	code = start_queues(fresh);
	if (!code)
		code = ask_disk(fresh);
	if (!code && device_is_gone(fresh))
		code = -ECONNRESET;
	if (!code)
		code = check_answered(fresh);
	first = error_keep();
	stop_queues(fresh);
	share_leave(fresh);
	fresh->memory = dev->memory;
	fresh->config = dev->config;
	error_restore(&first);
	return code;
}

/* ---- comparing ------------------------------------------------------------------ */

static int refuse(const struct device *dev, const char *what, unsigned long long now,
		  unsigned long long before)
{
	return error_set(ENODEV, "%s: the back-end serves another disk now: %s %llu instead "
			 "of %llu", dev->vu.path, what, now, before);
}

/* If read-only was not agreed on, then only the offer shows it. */
static bool is_read_only(const struct device_info *info)
{
	return info->read_only ||
	       (info->type == DEVICE_BLK && info->offered_features >> VIRTIO_BLK_F_RO & 1);
}

/* A back-end without a configuration does not tell its capacity. A disk that has grown is
 * used up to its old end. */
static int compare_sizes(const struct device *dev, const struct device_info *now)
{
	const struct device_info *before = &dev->disk.info;
	uint64_t end = disk_end(&dev->disk);

	if (now->block_size != before->block_size)
		return refuse(dev, "its block size is", now->block_size,
			      before->block_size);
	if (!dev->is_capacity_assumed && now->capacity_bytes < end)
		return refuse(dev, "its capacity in bytes is", now->capacity_bytes, end);
	return 0;
}

static int compare_limits(const struct device *dev, const struct disk *now)
{
	const struct disk *before = &dev->disk;

	if (now->max_part_bytes < before->max_part_bytes)
		return refuse(dev, "its largest request in bytes is",
			      now->max_part_bytes, before->max_part_bytes);
	if (now->max_segment_bytes < before->max_segment_bytes)
		return refuse(dev, "its largest segment in bytes is",
			      now->max_segment_bytes, before->max_segment_bytes);
	if (now->max_discard_part_bytes < before->max_discard_part_bytes ||
	    now->max_write_zeroes_part_bytes < before->max_write_zeroes_part_bytes)
		return refuse(dev, "its largest discard in bytes is",
			      now->max_discard_part_bytes, before->max_discard_part_bytes);
	if (now->info.max_queues < dev->num_queues)
		return refuse(dev, "its number of queues is", now->info.max_queues,
			      dev->num_queues);
	if (now->info.max_mem_slots < share_count(dev))
		return refuse(dev, "the number of memory regions that it takes is",
			      now->info.max_mem_slots, share_count(dev));
	return 0;
}

static int compare(const struct device *dev, const struct device *fresh)
{
	const struct device_info *before = &dev->disk.info, *now = &fresh->disk.info;
	int code = compare_sizes(dev, now);

	if (!code)
		code = compare_limits(dev, &fresh->disk);
	if (code)
		return code;
	if (is_read_only(now) != before->read_only)
		return error_set(ENODEV, "%s: the back-end serves another disk now: it is "
				 "%s", dev->vu.path, before->read_only ?
				 "writable" : "read-only");
	if (*before->id && !*now->id)
		return error_set(ENODEV, "%s: the back-end serves another disk now: it has "
				 "no ID instead of \"%s\"", dev->vu.path, before->id);
	if (*before->id && strcmp(before->id, now->id))
		return error_set(ENODEV, "%s: the back-end serves another disk now: \"%s\" "
				 "instead of \"%s\"", dev->vu.path, now->id, before->id);
	return 0;
}

int same_disk_check(struct device *dev, struct device *fresh)
{
	bool must_ask = fresh->disk.info.type == DEVICE_SCSI || *dev->disk.info.id;
	int code = must_ask ? ask(dev, fresh) : 0;

	return code ? code : compare(dev, fresh);
}
