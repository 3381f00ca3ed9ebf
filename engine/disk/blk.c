/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-blk; see disk/blk.h. prepare and result are on the I/O path. */
#include "disk/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#include "base/barrier.h"
#include "base/error.h"

#define SECTOR_BYTES 512u /* independent of the block size (5.2.6) */

/* A value that is no status of the specification. It is still there if the back-end
 * completes a chain that it could not read. */
#define STATUS_UNTOUCHED 0xff

struct blk_response {
	uint8_t status; /* the back-end writes it */
	char id[VIRTIO_BLK_ID_BYTES];
	/* The argument of a discard; we write it and the back-end reads it. */
	struct virtio_blk_discard_write_zeroes range;
};

/* ---- configuration ------------------------------------------------------ */

uint64_t blk_wanted_features(void)
{
	static const unsigned int bits[] = {
		VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_RO,
		VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH,
		VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_CONFIG_WCE,
		VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_DISCARD,
		VIRTIO_BLK_F_WRITE_ZEROES,
	};
	uint64_t wanted = 0;

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		wanted |= 1ull << bits[i];
	return wanted;
}

static bool has(uint64_t features, unsigned int bit)
{
	return features >> bit & 1;
}

void blk_assume_config(uint64_t features, struct device_info *info)
{
	info->block_size = info->physical_block_size = SECTOR_BYTES;
	info->seg_max = 1;
	info->max_queues = 1;
	info->read_only = has(features, VIRTIO_BLK_F_RO);
	info->can_flush = has(features, VIRTIO_BLK_F_FLUSH);
	info->writeback = info->can_flush;
}

static int check_block_size(const struct virtio_blk_config *config)
{
	uint32_t size = config->blk_size;

	/* SPDK says so of a disk that was removed from a running controller. */
	if (!size && !config->capacity)
		return error_set(ENODEV, "the back-end says that it has no blocks, and "
			"that they have 0 bytes: there is no disk behind it any more");
	if (size < SECTOR_BYTES || size > (1u << 20) || (size & (size - 1)))
		return error_set(EPROTO, "the back-end says that its blocks "
			"have %u bytes, which is not a power of two from 512", size);
	if (config->capacity % (size / SECTOR_BYTES))
		return error_set(EPROTO, "the back-end's capacity of %llu "
			"sectors is not a multiple of its %u byte blocks",
			(unsigned long long)config->capacity, size);
	return 0;
}

static void read_discard(const struct virtio_blk_config *config,
			 uint64_t features, struct device_info *info)
{
	if (has(features, VIRTIO_BLK_F_DISCARD)) {
		info->can_discard = config->max_discard_sectors > 0;
		info->max_discard_bytes =
			(uint64_t)config->max_discard_sectors * SECTOR_BYTES;
		info->max_discard_segments = config->max_discard_seg;
		info->discard_alignment =
			config->discard_sector_alignment * SECTOR_BYTES;
		/* An alignment that overflows cannot be kept. */
		if (config->discard_sector_alignment > UINT32_MAX / SECTOR_BYTES)
			info->can_discard = false;
	}
	if (has(features, VIRTIO_BLK_F_WRITE_ZEROES)) {
		info->can_write_zeroes = config->max_write_zeroes_sectors > 0;
		info->max_write_zeroes_bytes =
			(uint64_t)config->max_write_zeroes_sectors * SECTOR_BYTES;
		info->max_write_zeroes_segments = config->max_write_zeroes_seg;
	}
}

/* A value that does not fit is left out, because it is only a hint. */
static void read_topology(const struct virtio_blk_config *config,
			  struct device_info *info)
{
	uint64_t optimal = (uint64_t)config->opt_io_size * info->block_size;

	if (config->physical_block_exp < 12)
		info->physical_block_size =
			info->block_size << config->physical_block_exp;
	if (optimal <= UINT32_MAX)
		info->optimal_io_size = (unsigned int)optimal;
}

int blk_read_config(const void *space, uint64_t features,
		    struct device_info *info)
{
	struct virtio_blk_config config;
	int code;

	memset(&config, 0, sizeof(config));
	memcpy(&config, space, BLK_CONFIG_BYTES);
	blk_assume_config(features, info);
	info->has_config = true;
	/* The capacity is in sectors even if blocks are larger (5.2.4). */
	code = disk_capacity(config.capacity, SECTOR_BYTES, &info->capacity_bytes);
	if (code)
		return code;
	if (has(features, VIRTIO_BLK_F_BLK_SIZE)) {
		code = check_block_size(&config);
		if (code)
			return code;
		info->block_size = info->physical_block_size = config.blk_size;
	}
	if (has(features, VIRTIO_BLK_F_TOPOLOGY))
		read_topology(&config, info);
	/* Some back-ends offer the limit but leave it 0, which means no limit. */
	if (has(features, VIRTIO_BLK_F_SIZE_MAX))
		info->size_max = config.size_max;
	if (has(features, VIRTIO_BLK_F_SEG_MAX) && config.seg_max)
		info->seg_max = config.seg_max;
	if (has(features, VIRTIO_BLK_F_CONFIG_WCE))
		info->writeback = config.wce;
	if (has(features, VIRTIO_BLK_F_MQ) && config.num_queues)
		info->max_queues = config.num_queues;
	read_discard(&config, features, info);
	return 0;
}

bool blk_is_config(const void *space)
{
	uint64_t capacity;

	memcpy(&capacity, space, sizeof(capacity));
	return capacity != 0;
}

/* ---- requests ------------------------------------------------------------ */

static void lay(const struct disk *disk, struct virtq *vq, uint16_t chain)
{
	struct virtio_blk_outhdr *header = virtq_request(vq, chain);
	struct vring_desc *desc = virtq_chain(vq, chain);

	(void)disk;
	header->ioprio = 0;
	virtq_set_desc(desc, header, sizeof(*header), VRING_DESC_F_NEXT);
}

static uint16_t prepare_data(const struct disk *disk, struct vring_desc *desc,
			     struct request *req)
{
	uint16_t flags = req->type == REQUEST_READ ?
			 VRING_DESC_F_NEXT | VRING_DESC_F_WRITE :
			 VRING_DESC_F_NEXT;

	disk_take_part(req, disk->max_part_bytes);
	return disk_fill_segments(disk, desc, req, flags, flags);
}

/* A request has one range, because every back-end takes that. */
static uint16_t prepare_range(const struct disk *disk, struct vring_desc *desc,
			      struct blk_response *response, struct request *req)
{
	uint64_t sector = req->offset_bytes / SECTOR_BYTES;
	uint32_t bytes = disk_take_part(req, req->type == REQUEST_DISCARD ?
					disk->max_discard_part_bytes :
					disk->max_write_zeroes_part_bytes);

	response->range.sector = sector;
	response->range.num_sectors = bytes / SECTOR_BYTES;
	response->range.flags = req->type == REQUEST_WRITE_ZEROES ?
				VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
	virtq_set_desc(desc, &response->range, sizeof(response->range),
		       VRING_DESC_F_NEXT);
	return 1;
}

static uint16_t prepare_id(struct vring_desc *desc, struct blk_response *response)
{
	virtq_set_desc(desc, response->id, sizeof(response->id),
		       VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	return 1;
}

static uint16_t prepare_other(const struct disk *disk, struct vring_desc *desc,
			      struct blk_response *response, struct request *req)
{
	req->part_bytes = 0;
	if (req->type == REQUEST_FLUSH)
		return 0;
	if (req->type == REQUEST_GET_ID)
		return prepare_id(desc, response);
	return prepare_range(disk, desc, response, req);
}

static void unanswer(struct virtq *vq, uint16_t chain)
{
	struct blk_response *response = virtq_response(vq, chain);

	response->status = STATUS_UNTOUCHED;
}

static uint16_t prepare(const struct disk *disk, struct virtq *vq,
			struct request *req)
{
	static const uint32_t types[] = {
		[REQUEST_READ] = VIRTIO_BLK_T_IN,
		[REQUEST_WRITE] = VIRTIO_BLK_T_OUT,
		[REQUEST_FLUSH] = VIRTIO_BLK_T_FLUSH,
		[REQUEST_DISCARD] = VIRTIO_BLK_T_DISCARD,
		[REQUEST_WRITE_ZEROES] = VIRTIO_BLK_T_WRITE_ZEROES,
		[REQUEST_GET_ID] = VIRTIO_BLK_T_GET_ID,
	};
	struct virtio_blk_outhdr *header = virtq_request(vq, req->chain);
	struct blk_response *response = virtq_response(vq, req->chain);
	struct vring_desc *desc = virtq_chain(vq, req->chain);
	uint16_t count = 1;

	header->type = types[req->type];
	if (req->type <= REQUEST_WRITE) {
		header->sector = req->offset_bytes / SECTOR_BYTES;
		count += prepare_data(disk, desc + count, req);
	} else {
		header->sector = 0;
		count += prepare_other(disk, desc + count, response, req);
	}

	unanswer(vq, req->chain);
	virtq_set_desc(&desc[count], &response->status, sizeof(response->status),
		       VRING_DESC_F_WRITE);
	return count + 1;
}

static int explain(const struct request *req, uint8_t status)
{
	const char *name = disk_request_name(req->type);
	unsigned long long offset = req->offset_bytes - req->part_bytes;

	switch (status) {
	case VIRTIO_BLK_S_IOERR:
		return -error_set(EIO, "the back-end reports an I/O error for "
			"a %s of %u bytes at %llu (status IOERR)", name,
			req->part_bytes, offset);
	case VIRTIO_BLK_S_UNSUPP:
		return -error_set(EOPNOTSUPP, "the back-end does not support a "
			"%s of %u bytes at %llu (status UNSUPP)", name,
			req->part_bytes, offset);
	case STATUS_UNTOUCHED:
		return -error_set(EIO, "the back-end returned a %s of %u bytes "
			"at %llu without a status: it could not read the "
			"request", name, req->part_bytes, offset);
	default:
		return -error_set(EIO, "the back-end returned a %s of %u bytes "
			"at %llu with the unknown status %u", name,
			req->part_bytes, offset, status);
	}
}

static int result(const struct disk *disk, struct virtq *vq,
		  const struct request *req)
{
	struct blk_response *response = virtq_response(vq, req->chain);
	uint8_t status = load_relaxed_u8(&response->status);

	(void)disk;
	if (status != VIRTIO_BLK_S_OK)
		return explain(req, status);
	/* Early, so that the cache line is ours again when the next request needs it. */
	response->status = STATUS_UNTOUCHED;
	return 0;
}

const char *blk_id(const struct virtq *vq, uint16_t chain)
{
	return ((const struct blk_response *)virtq_response(vq, chain))->id;
}

bool blk_is_answered(const struct virtq *vq, uint16_t chain)
{
	const struct blk_response *response = virtq_response(vq, chain);

	return load_relaxed_u8(&response->status) <= VIRTIO_BLK_S_UNSUPP;
}

const struct command_set blk_command_set = {
	.request_bytes = sizeof(struct virtio_blk_outhdr),
	.response_bytes = sizeof(struct blk_response),
	.lay = lay,
	.prepare = prepare,
	.unanswer = unanswer,
	.result = result,
};
