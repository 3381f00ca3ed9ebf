/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the disks behind a device's queues; see device/discover.h. */
#include "device/discover.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <scsi/scsi.h>
#include <stdio.h>
#include <string.h>

#include "disk/blk.h"
#include "base/clock.h"
#include "device/device.h"
#include "base/error.h"
#include "device/execute_one.h"
#include "disk/scsi.h"

#define BUFFER_BYTES 4096
#define ID_TIMEOUT_MS 2000

/* The largest numbers that the address in a command can hold (5.6.6.1). */
#define MAX_TARGET 255u
#define MAX_LUN 16383u

/* The number of LUNs that are tried one by one if REPORT LUNS does not work. */
#define SCANNED_LUNS 8

#define SERVICE_ACTION_IN_16 0x9e
#define ACTION_READ_CAPACITY_16 0x10
#define REPORT_LUNS_OP 0xa0
#define PAGE_SERIAL 0x80
#define PAGE_BLOCK_LIMITS 0xb0
#define PAGE_PROVISIONING 0xb2

static uint16_t get_be16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static uint32_t get_be32(const uint8_t *from)
{
	return (uint32_t)get_be16(from) << 16 | get_be16(from + 2);
}

static uint64_t get_be64(const uint8_t *from)
{
	return (uint64_t)get_be32(from) << 32 | get_be32(from + 4);
}

/* ---- commands ------------------------------------------------------------------ */

/* The state of one discovery. */
struct talk {
	struct device *dev;
	struct queue *queue;
	uint8_t *buffer; /* shared, BUFFER_BYTES */
	uint64_t deadline_ns; /* for all commands together */
	char refusal[256]; /* why the first unusable disk cannot be used */
};

/* Sends cdb to the logical unit that dev->disk addresses, and reads at most size
 * bytes into talk->buffer. Returns their number or a negative errno. */
static int send(struct talk *talk, const uint8_t *cdb, size_t cdb_size, uint32_t size)
{
	struct scsi_command command = { 0 };
	struct request *req;
	int code;

	/* The chain of a request that did not come back is not used again. */
	if (talk->queue->abandoned)
		return error_set(talk->queue->abandoned, "%s", talk->queue->reason);
	req = queue_get(talk->queue);
	memcpy(command.cdb, cdb, cdb_size);
	memset(talk->buffer, 0, BUFFER_BYTES);
	req->type = REQUEST_COMMAND;
	req->user = &command;
	req->buffer = (char *)talk->buffer;
	req->offset_bytes = 0;
	req->left_bytes = size;
	code = execute(talk->queue, req, talk->dev->vu.fd,
		       (unsigned int)clock_left_ms(talk->deadline_ns));
	return code ? code : (int)(size - command.residual_bytes);
}

/* Reads a vital product data page, or the standard data if page is 0. */
static int inquire(struct talk *talk, uint8_t page)
{
	const uint8_t cdb[6] = { INQUIRY, page != 0, page, 0, 0xff };

	return send(talk, cdb, sizeof(cdb), 0xff);
}

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

/* 1 if the logical unit is a disk, else 0; negative if the queue was abandoned. */
static int inquire_disk(struct talk *talk, struct disk_summary *summary)
{
	int got = inquire(talk, 0);

	if (got < 0)
		return talk->queue->abandoned ? got : 0;
	/* Peripheral qualifier 0 and type 0: a connected direct access device. */
	if (got < 36 || talk->buffer[0] != 0)
		return 0;
	copy_text(summary->vendor, talk->buffer + 8, 8);
	copy_text(summary->product, talk->buffer + 16, 16);
	got = inquire(talk, PAGE_SERIAL);
	if (got > 4 && talk->buffer[1] == PAGE_SERIAL) {
		size_t size = talk->buffer[3];

		if (size > sizeof(summary->serial) - 1)
			size = sizeof(summary->serial) - 1;
		copy_text(summary->serial, talk->buffer + 4, size);
	}
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
	int got = send(talk, cdb, sizeof(cdb), 8);

	if (got < 0)
		return got;
	if (got < 8)
		return error_set(EPROTO, "the disk answered READ CAPACITY with "
				 "%d bytes", got);
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
	int got = send(talk, cdb, sizeof(cdb), 32);

	if (got < 32)
		return read_capacity_10(talk, summary);
	summary->physical_exponent = talk->buffer[13] & 0xf;
	summary->is_thin = talk->buffer[14] & 0x80;
	return set_capacity(summary, get_be64(talk->buffer),
			    get_be32(talk->buffer + 8));
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

/* SAM LUN: flat (01b) or peripheral (00b) addressing, one level. */
static unsigned int parse_lun(const uint8_t *lun)
{
	return get_be16(lun) & 0x3fff;
}

static int scan_luns(struct talk *talk, unsigned int target)
{
	int code = 0;

	for (unsigned int lun = 0; !code && lun < SCANNED_LUNS; lun++)
		code = examine(talk, target, lun);
	return code;
}

static int scan_target(struct talk *talk, unsigned int target)
{
	const uint8_t cdb[12] = { REPORT_LUNS_OP, [8] = BUFFER_BYTES >> 8 };
	uint8_t luns[BUFFER_BYTES];
	uint32_t count;
	int got, code = 0;

	scsi_set_address(&talk->dev->disk, target, 0);
	got = send(talk, cdb, sizeof(cdb), BUFFER_BYTES);
	/* There is no target, as opposed to a target that does not know the command. */
	if (got == -ENXIO)
		return 0;
	if (talk->queue->abandoned)
		return got;
	if (got < 16)
		return scan_luns(talk, target);
	memcpy(luns, talk->buffer, BUFFER_BYTES);
	count = get_be32(luns) / 8;
	if (count > ((uint32_t)got - 8) / 8)
		count = ((uint32_t)got - 8) / 8;
	for (uint32_t i = 0; !code && i < count; i++)
		code = examine(talk, target, parse_lun(luns + 8 + 8 * i));
	return code;
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
	int got = inquire(talk, PAGE_BLOCK_LIMITS);
	uint64_t transfer;

	if (got < 16 || talk->buffer[1] != PAGE_BLOCK_LIMITS)
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
	int got = inquire(talk, PAGE_PROVISIONING);

	info->can_discard = got >= 6 && talk->buffer[1] == PAGE_PROVISIONING &&
			    talk->buffer[5] & 0x80 && info->max_discard_segments;
}

/* MODE SENSE's device-specific parameter: bit 7 is write protection. */
static void read_protection(struct talk *talk, struct device_info *info)
{
	const uint8_t cdb[6] = { MODE_SENSE, 0x08, 0x3f, 0, 0xff };
	int got = send(talk, cdb, sizeof(cdb), 0xff);

	info->read_only = got >= 4 && talk->buffer[2] & 0x80;
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
	info->can_flush = info->writeback = true;
	snprintf(info->id, sizeof(info->id), "%s %s %s", summary->vendor,
		 summary->product, summary->serial);
	read_block_limits(talk, disk);
	if (summary->is_thin)
		read_provisioning(talk, info);
	read_protection(talk, info);
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
	talk.buffer = device_alloc(dev, BUFFER_BYTES, BUFFER_BYTES);
	code = talk.buffer ? scan(&talk) : -ENOMEM;
	if (!code)
		code = choose(&talk);
	device_release_queue(dev, talk.queue);
	/* The back-end may still write the answer to a command that timed out into it. */
	if (!talk.queue->abandoned)
		device_free(dev, talk.buffer);
	return code;
}

void discover_blk_id(struct device *dev)
{
	struct queue *queue = device_claim_queue(dev);
	struct request *req = queue ? queue_get(queue) : NULL;

	if (!req)
		return;
	req->type = REQUEST_GET_ID;
	req->offset_bytes = req->left_bytes = 0;
	if (!execute(queue, req, dev->vu.fd, ID_TIMEOUT_MS))
		copy_text(dev->disk.info.id,
			  (const uint8_t *)blk_id(&queue->vq, req->chain),
			  VIRTIO_BLK_ID_BYTES);
	device_release_queue(dev, queue);
}
