/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the disks behind a device's queues; see device/discover.h. */
#include "device/discover.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <scsi/scsi.h>
#include <stdio.h>
#include <string.h>

#include "disk/blk.h"
#include "base/barrier.h"
#include "base/clock.h"
#include "device/device.h"
#include "base/error.h"
#include "device/execute_one.h"
#include "device/talk.h"
#include "disk/scsi.h"

#define ID_TIMEOUT_MS 2000

/* The largest numbers that the address in a command can hold (5.6.6.1). */
#define MAX_TARGET 255u
#define MAX_LUN 16383u

/* The number of LUNs that are tried one by one if REPORT LUNS does not work. */
#define SCANNED_LUNS 8

#define SERVICE_ACTION_IN_16 0x9e
#define ACTION_READ_CAPACITY_16 0x10
#define REPORT_LUNS_OP 0xa0
#define PAGE_CACHING 0x08 /* of MODE SENSE, as the next one */
#define PAGE_ALL 0x3f
#define PAGE_SERIAL 0x80  /* of INQUIRY, as those that follow */
#define PAGE_BLOCK_LIMITS 0xb0
#define PAGE_PROVISIONING 0xb2

/* ---- one disk -------------------------------------------------------------------- */

/* Fields of INQUIRY are padded with spaces. */
static void copy_text(char *to, const uint8_t *from, size_t size)
{
	while (size && (from[size - 1] == ' ' || from[size - 1] == 0))
		size--;
	memcpy(to, from, size);
	to[size] = 0;
	for (; *to; to++)
		if (*to < 0x20 || *to > 0x7e)
			*to = '?';
}

/* Keeps the reason, in case no other disk is found. */
static void note_refusal(struct talk *talk, const struct disk_summary *summary)
{
	if (*talk->refusal)
		return;
	snprintf(talk->refusal, sizeof(talk->refusal),
		 "the disk at target %u, LUN %u cannot be used: %s",
		 summary->target, summary->lun, error_message());
}

/* What INQUIRY begins with (SPC-4, 6.6.2): the peripheral qualifier and the device
 * type. 0 is a direct access device that is connected. */
static bool is_disk(struct talk *talk, const struct disk_summary *summary)
{
	uint8_t qualifier = talk->buffer[0] >> 5, type = talk->buffer[0] & 0x1f;

	/* Without a vendor, nothing came. */
	if (!talk->buffer[8] || qualifier == 3)
		return false;
	if (!qualifier && !type)
		return true;
	if (qualifier)
		error_set(ENODEV, "it is not connected");
	else
		error_set(ENODEV, "it is a device of type %02Xh, which is no disk", type);
	note_refusal(talk, summary);
	return false;
}

static void read_serial(struct talk *talk, struct disk_summary *summary)
{
	int size = talk_read_page(talk, PAGE_SERIAL) - 4;

	if (size > (int)sizeof(summary->serial) - 1)
		size = sizeof(summary->serial) - 1;
	if (size > 0)
		copy_text(summary->serial, talk->buffer + 4, (size_t)size);
}

/* 1 if the logical unit is a disk, else 0; negative if the queue was abandoned. */
static int inquire_disk(struct talk *talk, struct disk_summary *summary)
{
	int code = talk_inquire(talk);

	if (code && talk->queue->abandoned)
		return code;
	/* If no disk was chosen, most addresses have none, which is no failure. */
	if (code && code != -ENXIO && talk->dev->config.scsi_address_set)
		note_refusal(talk, summary);
	if (code || !is_disk(talk, summary))
		return 0;
	copy_text(summary->vendor, talk->buffer + 8, 8);
	copy_text(summary->product, talk->buffer + 16, 16);
	read_serial(talk, summary);
	return 1;
}

static int set_capacity(struct disk_summary *summary, uint64_t last_block,
			uint32_t block_size)
{
	if (block_size < 512 || block_size > (1u << 20) ||
	    (block_size & (block_size - 1)))
		return error_set(EPROTO, "the disk says that its blocks have %u "
			"bytes, which is not a power of two from 512", block_size);
	summary->block_size = block_size;
	/* The number of the last block may be 2^64 - 1. */
	if (last_block == UINT64_MAX)
		return error_set(EPROTO, "the disk says that its last block is "
			"%llu", (unsigned long long)last_block);
	return disk_capacity(last_block + 1, block_size, &summary->capacity_bytes);
}

static int read_capacity_10(struct talk *talk, struct disk_summary *summary)
{
	const uint8_t cdb[10] = { READ_CAPACITY };
	int code = talk_send(talk, cdb, sizeof(cdb), 8);

	if (code)
		return code;
	if (!get_be32(talk->buffer) && !get_be32(talk->buffer + 4))
		return error_set(ENODEV, "it says that it has no blocks, and that they "
			"have 0 bytes: the back-end has no disk there any more");
	/* The number does not fit; READ CAPACITY (16) would tell it (SBC-3, 5.12). */
	if (get_be32(talk->buffer) == UINT32_MAX)
		return error_set(EPROTO, "the disk has more blocks than READ "
			"CAPACITY (10) can tell, and does not answer READ "
			"CAPACITY (16)");
	return set_capacity(summary, get_be32(talk->buffer),
			    get_be32(talk->buffer + 4));
}

static int read_capacity(struct talk *talk, struct disk_summary *summary)
{
	const uint8_t cdb[16] = { SERVICE_ACTION_IN_16, ACTION_READ_CAPACITY_16,
				  [13] = 32 };
	int code = talk_send(talk, cdb, sizeof(cdb), 32);

	/* All zeroes: nothing came. */
	if (code || (!get_be64(talk->buffer) && !get_be32(talk->buffer + 8)))
		return read_capacity_10(talk, summary);
	summary->physical_exponent = talk->buffer[13] & 0xf;
	summary->is_thin = talk->buffer[14] & 0x80;
	return set_capacity(summary, get_be64(talk->buffer),
			    get_be32(talk->buffer + 8));
}

/* Adds the disk at target and lun to the list, if there is one. */
static int examine(struct talk *talk, unsigned int target, unsigned int lun)
{
	struct device *dev = talk->dev;
	struct disk_summary *summary = &dev->disks[dev->num_disks];
	int code;

	if (dev->num_disks == DEVICE_MAX_DISKS)
		return 0;
	memset(summary, 0, sizeof(*summary));
	summary->target = target;
	summary->lun = lun;
	scsi_set_address(&dev->disk, target, lun);
	code = inquire_disk(talk, summary);
	if (code <= 0)
		return code;
	code = read_capacity(talk, summary);
	if (code)
		note_refusal(talk, summary);
	else
		dev->num_disks++;
	return talk->queue->abandoned ? code : 0;
}

/* ---- all disks ------------------------------------------------------------------- */

/* SAM LUN (SAM-5, 4.7): flat (01b) or peripheral (00b) addressing, one level; what
 * is addressed in other ways cannot be named by virtio-scsi. False for such. */
static bool parse_lun(const uint8_t *address, unsigned int *lun)
{
	bool is_flat = address[0] >> 6 == 1;

	*lun = get_be16(address) & 0x3fff;
	return (is_flat || !address[0]) && !get_be32(address + 2) && !get_be16(address + 6);
}

static int scan_luns(struct talk *talk, unsigned int target)
{
	int code = 0;

	for (unsigned int lun = 0; !code && lun < SCANNED_LUNS; lun++)
		code = examine(talk, target, lun);
	return code;
}

/* A list that claims more than came ends in zeroes, which is LUN 0 again. */
static int examine_listed(struct talk *talk, unsigned int target, const uint8_t *luns,
			  uint32_t count)
{
	bool has_zero = false;
	unsigned int lun;
	int code = 0;

	for (uint32_t i = 0; !code && i < count; i++) {
		if (!parse_lun(luns + 8 * i, &lun))
			continue;
		if (!lun && has_zero)
			break;
		has_zero |= !lun;
		code = examine(talk, target, lun);
	}
	return code;
}

static int scan_target(struct talk *talk, unsigned int target)
{
	const uint8_t cdb[12] = { REPORT_LUNS_OP, [8] = TALK_BYTES >> 8 };
	uint8_t luns[TALK_BYTES];
	uint32_t count;
	int code;

	scsi_set_address(&talk->dev->disk, target, 0);
	code = talk_send(talk, cdb, sizeof(cdb), TALK_BYTES);
	/* There is no target, as opposed to a target that does not know the command. */
	if (code == -ENXIO)
		return 0;
	if (talk->queue->abandoned)
		return code;
	memcpy(luns, talk->buffer, TALK_BYTES);
	count = get_be32(luns) / 8;
	if (code || !count)
		return scan_luns(talk, target);
	if (count > TALK_BYTES / 8 - 1)
		count = TALK_BYTES / 8 - 1;
	return examine_listed(talk, target, luns + 8, count);
}

/* A number that does not fit would be truncated and then name another disk. */
static int check_address(const struct device_config *config)
{
	if (config->scsi_target <= MAX_TARGET && config->scsi_lun <= MAX_LUN)
		return 0;
	return error_set(EINVAL, "%s: scsi_target=%u and scsi_lun=%u: a target is "
			 "at most %u, and a LUN at most %u", config->socket,
			 config->scsi_target, config->scsi_lun, MAX_TARGET, MAX_LUN);
}

static int scan(struct talk *talk)
{
	const struct device_config *config = &talk->dev->config;
	int code = config->scsi_address_set ? check_address(config) : 0;

	if (code)
		return code;
	if (config->scsi_address_set)
		return examine(talk, config->scsi_target, config->scsi_lun);
	for (unsigned int target = 0; !code && target <= talk->dev->disk.max_target;
	     target++)
		code = scan_target(talk, target);
	return code;
}

/* ---- the chosen disk --------------------------------------------------------------- */

/* A value that does not fit is left out, because it is only a hint. */
static unsigned int bytes_or_none(uint32_t blocks, uint32_t block_size)
{
	uint64_t bytes = (uint64_t)blocks * block_size;

	return bytes > UINT32_MAX ? 0 : (unsigned int)bytes;
}

static void read_block_limits(struct talk *talk, struct disk *disk)
{
	struct device_info *info = &disk->info;
	int got = talk_read_page(talk, PAGE_BLOCK_LIMITS);
	uint64_t transfer;

	if (got < 16)
		return;
	transfer = (uint64_t)get_be32(talk->buffer + 8) * info->block_size;
	if (transfer && transfer < disk->max_transfer_bytes)
		disk->max_transfer_bytes = transfer;
	info->optimal_io_size =
		bytes_or_none(get_be32(talk->buffer + 12), info->block_size);
	if (got < 36)
		return;
	info->max_discard_bytes =
		(uint64_t)get_be32(talk->buffer + 20) * info->block_size;
	info->max_discard_segments = get_be32(talk->buffer + 24);
	info->discard_alignment =
		bytes_or_none(get_be32(talk->buffer + 28), info->block_size);
}

/* The device supports UNMAP if the provisioning page says so. */
static void read_provisioning(struct talk *talk, struct device_info *info)
{
	int got = talk_read_page(talk, PAGE_PROVISIONING);

	/* SBC-3, 6.6.4: limits of 0 say that there is no UNMAP. */
	info->can_discard = got >= 6 && talk->buffer[5] & 0x80 &&
			    info->max_discard_segments && info->max_discard_bytes;
}

/* SBC-3, 6.4.5: WCE. A disk that tells of no cache is taken for one that has none, as
 * Linux takes it. */
static void read_modes(struct talk *talk, struct device_info *info)
{
	struct mode mode;

	if (talk_read_mode(talk, PAGE_CACHING, &mode))
		talk_read_mode(talk, PAGE_ALL, &mode);
	info->read_only = mode.specific & 0x80;
	info->writeback = mode.page == PAGE_CACHING && mode.flags & 0x04;
}

static void take_disk(struct talk *talk, const struct disk_summary *summary)
{
	struct disk *disk = &talk->dev->disk;
	struct device_info *info = &disk->info;

	scsi_set_address(disk, summary->target, summary->lun);
	info->capacity_bytes = summary->capacity_bytes;
	info->block_size = summary->block_size;
	info->physical_block_size = summary->block_size;
	if (summary->physical_exponent < 12)
		info->physical_block_size <<= summary->physical_exponent;
	info->can_flush = true;
	snprintf(info->id, sizeof(info->id), "%s %s %s", summary->vendor,
		 summary->product, summary->serial);
	read_block_limits(talk, disk);
	if (summary->is_thin)
		read_provisioning(talk, info);
	read_modes(talk, info);
}

static int list_disks(const struct device *dev)
{
	char list[256] = "";
	size_t used = 0;

	for (unsigned int i = 0; i < dev->num_disks && used < sizeof(list); i++) {
		const struct disk_summary *summary = &dev->disks[i];

		used += (size_t)snprintf(list + used, sizeof(list) - used,
			"%s%u:%u (%s %s, %llu MiB)", i ? ", " : "",
			summary->target, summary->lun, summary->vendor,
			summary->product,
			(unsigned long long)summary->capacity_bytes >> 20);
	}
	return error_set(ENODEV, "%s: there are %u disks: choose one with "
		"scsi_target and scsi_lun: %s", dev->vu.path, dev->num_disks, list);
}

static int choose(struct talk *talk)
{
	const struct device *dev = talk->dev;

	if (dev->num_disks > 1)
		return list_disks(dev);
	if (!dev->num_disks && *talk->refusal)
		return error_set(ENODEV, "%s: %s", dev->vu.path, talk->refusal);
	if (!dev->num_disks && dev->config.scsi_address_set)
		return error_set(ENODEV, "%s: there is no disk at target %u, LUN "
			"%u: leave scsi_target and scsi_lun out to see all",
			dev->vu.path, dev->config.scsi_target,
			dev->config.scsi_lun);
	if (!dev->num_disks)
		return error_set(ENODEV, "%s: there is no disk behind this "
			"controller", dev->vu.path);
	take_disk(talk, &dev->disks[0]);
	return disk_derive_limits(&talk->dev->disk);
}

int discover_scsi(struct device *dev)
{
	struct talk talk = { .dev = dev };
	int code;

	talk.deadline_ns = clock_now_ns() +
			   dev->config.connect_timeout_ms * NS_PER_MS;
	talk.queue = device_claim_queue(dev);
	if (!talk.queue)
		return -EBUSY;
	talk.shared = device_alloc(dev, TALK_BYTES, TALK_BYTES);
	code = talk.shared ? scan(&talk) : -ENOMEM;
	if (!code)
		code = choose(&talk);
	device_release_queue(dev, talk.queue);
	/* The back-end may still write the answer to a command that timed out into it. */
	if (!talk.queue->abandoned)
		device_free(dev, talk.shared);
	return code;
}

static void ask_id(struct device *dev, struct queue *queue, struct request *req)
{
	unsigned int timeout_ms = dev->config.connect_timeout_ms;
	uint8_t id[VIRTIO_BLK_ID_BYTES];

	req->type = REQUEST_GET_ID;
	req->user = NULL;
	req->offset_bytes = req->left_bytes = 0;
	if (execute_or_leave(queue, req, dev->vu.fd, timeout_ms < ID_TIMEOUT_MS ?
			     timeout_ms : ID_TIMEOUT_MS))
		return;
	copy_relaxed(id, blk_id(&queue->vq, req->chain), sizeof(id));
	copy_text(dev->disk.info.id, id, sizeof(id));
}

void discover_blk_id(struct device *dev)
{
	struct queue *queue = device_claim_queue(dev);
	struct request *req;

	if (!queue)
		return;
	req = queue_get(queue);
	if (req)
		ask_id(dev, queue, req);
	device_release_queue(dev, queue);
}
