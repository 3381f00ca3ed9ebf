/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk: virtio 1.2, section 5.2.
 *
 * Each worker enters it with one request; the configuration space belongs to
 * the control thread. No length or sector from the driver is trusted, and the
 * disk checks each range.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <linux/virtio_blk.h>

#include "blk/blk.h"
#include "base/error.h"
#include "base/feature.h"

typedef struct virtio_blk_outhdr blk_header;
typedef struct virtio_blk_discard_write_zeroes blk_range;

/* ---- features and configuration ----------------------------------------- */

static uint64_t blk_features(const struct device *device)
{
	uint64_t features = device->profile->blk_features;

	if (device->disks[0].read_only)
		features |= FEATURE(VIRTIO_BLK_F_RO);
	if (!device->size_max && !device->profile->offers_empty_size_max)
		features &= ~FEATURE(VIRTIO_BLK_F_SIZE_MAX);
	if (!device->seg_max)
		features &= ~FEATURE(VIRTIO_BLK_F_SEG_MAX);
	if (device->has_no_flush)
		features &= ~(FEATURE(VIRTIO_BLK_F_FLUSH) |
			      FEATURE(VIRTIO_BLK_F_DISCARD));
	return features;
}

static void blk_open_session(struct session *session)
{
	/* 5.2.5.2: a driver that negotiates flush gets write-back at first. One
	 * that does not gets write-through; see is_write_through(). */
	session->writeback = true;
}

static unsigned int blk_get_config(const struct session *session, void *space)
{
	const struct device *device = session->device;
	const struct disk *disk = &device->disks[0];
	struct virtio_blk_config config = {
		.capacity = disk->bytes / SECTOR_BYTES,
		.size_max = device->size_max,
		.seg_max = device->seg_max,
		.blk_size = disk->block_bytes,
		.min_io_size = 1,
		.wce = session->writeback,
		.num_queues = device->request_queues,
		.max_discard_sectors = device->discard_sectors_max,
		.max_discard_seg = device->discard_segments_max,
		.discard_sector_alignment = disk->block_bytes / SECTOR_BYTES,
		.max_write_zeroes_sectors = device->discard_sectors_max,
		.max_write_zeroes_seg = device->discard_segments_max,
		.write_zeroes_may_unmap = 1,
	};

	memcpy(space, &config, sizeof(config));
	return sizeof(config);
}

/* A driver may write one field only: wce, 5.2.4. */
static int blk_set_config(struct session *session, unsigned int offset,
			  const void *data, unsigned int bytes)
{
	uint8_t wce;

	if (offset != offsetof(struct virtio_blk_config, wce) || bytes != 1 ||
	    !has_feature(session->features, VIRTIO_BLK_F_CONFIG_WCE))
		return -EPERM;
	memcpy(&wce, data, 1);
	session->writeback = wce != 0;
	return 0;
}

/* The message about the configuration change is enough. */
static bool blk_resized(struct session *session, struct disk *disk)
{
	(void)session, (void)disk;
	return false;
}

/* ---- requests ----------------------------------------------------------- */

static uint8_t status_of(int result)
{
	switch (result) {
	case 0:
		return VIRTIO_BLK_S_OK;
	case -EOPNOTSUPP:
		return VIRTIO_BLK_S_UNSUPP;
	default:
		return VIRTIO_BLK_S_IOERR;
	}
}

/* Write-through: the data is safe before the write completes, 5.2.6.2. */
static bool is_write_through(const struct session *session)
{
	return !has_feature(session->features, VIRTIO_BLK_F_FLUSH) ||
	       !session->writeback;
}

static size_t longest_segment(const struct span *data)
{
	size_t longest = 0;
	unsigned int i;

	for (i = 0; i < data->count; i++)
		if (data->segments[i].iov_len > longest)
			longest = data->segments[i].iov_len;
	return longest;
}

static int refuse_segments(const struct device *device, const struct span *data)
{
	log_line(device->disks[0].storage->log_fd,
		 "blk: a request has %u segments, the longest of %zu bytes: seg_max "
		 "is %u and size_max %u (0: no limit)",
		 data->count, longest_segment(data), device->seg_max,
		 device->size_max);
	return -EINVAL;
}

/* 5.2.6.1: the driver keeps the limits that it negotiated. A device that let it go
 * beyond them would hide its mistake. */
static int check_segments(const struct session *session,
			  const struct chain *chain, const struct span *data)
{
	const struct device *device = session->device;
	bool has_size_max = device->size_max &&
			    has_feature(session->features, VIRTIO_BLK_F_SIZE_MAX);
	bool has_seg_max = device->seg_max &&
			   has_feature(session->features, VIRTIO_BLK_F_SEG_MAX);

	if (likely(!(has_seg_max && data->count > device->seg_max) &&
		   !(has_size_max && longest_segment(data) > device->size_max)))
		return 0;
	/* More pieces than the driver made do not count. */
	return chain->is_split ? 0 : refuse_segments(device, data);
}

/* A driver that confuses the two sides would think that its data had moved. */
static int check_side(const struct device *device, const struct span *other,
		      const char *mistake)
{
	if (likely(!other->bytes))
		return 0;
	log_line(device->disks[0].storage->log_fd, "blk: %zu bytes of %s", other->bytes,
		 mistake);
	return -EINVAL;
}

static int blk_read(struct session *session, const blk_header *header,
		    struct chain *chain, struct operation *what)
{
	what->kind = OPERATION_READ;
	what->data_bytes = chain->in.bytes;
	if (check_segments(session, chain, &chain->in) ||
	    check_side(session->device, &chain->out,
		       "a read cannot be written by the device"))
		return -EINVAL;
	if (header->sector > UINT64_MAX / SECTOR_BYTES)
		return -ERANGE;
	return disk_read(&session->device->disks[0],
			 header->sector * SECTOR_BYTES, &chain->in,
			 what->later);
}

static int blk_write(struct session *session, const blk_header *header,
		     struct chain *chain, struct operation *what)
{
	struct disk *disk = &session->device->disks[0];
	uint64_t offset = header->sector * SECTOR_BYTES;

	what->kind = OPERATION_WRITE;
	what->data_bytes = chain->out.bytes;
	if (check_segments(session, chain, &chain->out) ||
	    check_side(session->device, &chain->in,
		       "a write are marked as written by the device"))
		return -EINVAL;
	if (header->sector > UINT64_MAX / SECTOR_BYTES)
		return -ERANGE;
	if (is_write_through(session))
		return disk_write_through(disk, offset, &chain->out, what->later);
	return disk_write(disk, offset, &chain->out, what->later);
}

static int blk_identify(struct chain *chain, struct operation *what)
{
	static const char id[VIRTIO_BLK_ID_BYTES] = "pyfio-virtio-blk";

	what->kind = OPERATION_IDENTIFY;
	what->data_bytes = span_put(&chain->in, id, sizeof(id));
	return 0;
}

/* 5.2.6.1: write-zeroes alone has the unmap flag; other bits are reserved. */
static int check_range(const struct device *device, const blk_range *range,
		       bool zeroes)
{
	const uint32_t allowed =
		zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

	if (range->flags & ~allowed)
		return -EOPNOTSUPP;
	if (range->num_sectors > device->discard_sectors_max ||
	    range->sector > UINT64_MAX / SECTOR_BYTES)
		return -ERANGE;
	return 0;
}

static int blk_ranges(struct session *session, struct chain *chain,
		      struct operation *what, bool zeroes)
{
	struct device *device = session->device;
	struct disk *disk = &device->disks[0];
	blk_range range;

	what->kind = zeroes ? OPERATION_WRITE_ZEROES : OPERATION_DISCARD;
	if (!chain->out.bytes || chain->out.bytes % sizeof(range) ||
	    chain->out.bytes / sizeof(range) > device->discard_segments_max)
		return -EINVAL;
	while (span_take_front(&chain->out, &range, sizeof(range))) {
		uint64_t offset = range.sector * SECTOR_BYTES;
		uint64_t bytes = (uint64_t)range.num_sectors * SECTOR_BYTES;
		int result = check_range(device, &range, zeroes);

		if (!result)
			result = zeroes ? disk_write_zeroes(disk, offset, bytes,
							    what->later) :
					  disk_discard(disk, offset, bytes,
						       what->later);
		if (result)
			return result;
		what->data_bytes += bytes;
	}
	return zeroes && is_write_through(session) ?
		       disk_flush(disk, what->later) :
		       0;
}

static int blk_flush(struct session *session, struct operation *what)
{
	what->kind = OPERATION_FLUSH;
	return disk_flush(&session->device->disks[0], what->later);
}

static int blk_carry_out(struct session *session, const blk_header *header,
			 struct chain *chain, struct operation *what)
{
	switch (header->type) {
	case VIRTIO_BLK_T_IN:
		return blk_read(session, header, chain, what);
	case VIRTIO_BLK_T_OUT:
		return blk_write(session, header, chain, what);
	case VIRTIO_BLK_T_FLUSH:
		if (session->device->has_no_flush)
			return -EOPNOTSUPP;
		return blk_flush(session, what);
	case VIRTIO_BLK_T_GET_ID:
		return blk_identify(chain, what);
	case VIRTIO_BLK_T_DISCARD:
		if (!has_feature(session->features, VIRTIO_BLK_F_DISCARD))
			return -EOPNOTSUPP;
		return blk_ranges(session, chain, what, false);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		if (!has_feature(session->features, VIRTIO_BLK_F_WRITE_ZEROES))
			return -EOPNOTSUPP;
		return blk_ranges(session, chain, what, true);
	default:
		return -EOPNOTSUPP;
	}
}

/* Returns the bytes written to the driver's memory, with the status byte. A
 * profile may imitate a back-end whose used length is unreliable. */
static uint32_t used_length(const struct session *session,
			    const struct operation *what, size_t in_bytes)
{
	bool returns_data = what->kind == OPERATION_READ ||
			    what->kind == OPERATION_IDENTIFY;

	if (session->device->profile->loose_used_length)
		return returns_data ? in_bytes + 1 : 0;
	if (what->failed || !returns_data)
		return 1;
	return what->data_bytes + 1;
}

static void blk_serve(struct session *session, const struct ring *ring,
		      struct chain *chain, struct operation *what)
{
	blk_header header;
	uint8_t *status = span_take_last_byte(&chain->in);
	size_t in_bytes = chain->in.bytes;
	int result = -EINVAL;

	(void)ring;
	what->kind = OPERATION_UNKNOWN;
	what->data_bytes = 0;
	if (unlikely(!status)) { /* there is no room for a status */
		what->failed = true;
		what->used_bytes = 0;
		return;
	}
	if (likely(span_take_front(&chain->out, &header, sizeof(header)) ==
		   sizeof(header)))
		result = blk_carry_out(session, &header, chain, what);
	if (is_postponed(what))
		return;
	what->failed = result != 0;
	*status = status_of(result);
	what->used_bytes = used_length(session, what, in_bytes);
}

static void blk_finish(struct session *session, struct chain *chain, int result,
		       struct operation *what)
{
	uint8_t *status = span_take_last_byte(&chain->in);

	what->failed = result != 0 || !status;
	if (!status)
		return;
	*status = status_of(result);
	what->used_bytes = used_length(session, what, chain->in.bytes);
}

/* The other answers are those of virtio-scsi. */
static void blk_answer(struct session *session, const struct ring *ring,
		       struct chain *chain, enum answer answer,
		       struct operation *what)
{
	uint8_t *status = span_take_last_byte(&chain->in);

	(void)ring;
	(void)answer;
	what->failed = true;
	if (status)
		*status = VIRTIO_BLK_S_IOERR;
	what->used_bytes =
		status ? used_length(session, what, chain->in.bytes) : 0;
}

static enum operation_kind kind_of(uint32_t type)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return OPERATION_READ;
	case VIRTIO_BLK_T_OUT:
		return OPERATION_WRITE;
	case VIRTIO_BLK_T_FLUSH:
		return OPERATION_FLUSH;
	case VIRTIO_BLK_T_DISCARD:
		return OPERATION_DISCARD;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return OPERATION_WRITE_ZEROES;
	case VIRTIO_BLK_T_GET_ID:
		return OPERATION_IDENTIFY;
	default:
		return OPERATION_UNKNOWN;
	}
}

static void describe_ranges(const struct chain *chain, struct operation *what)
{
	struct {
		blk_header header;
		blk_range first;
	} start;

	if (span_peek(&chain->out, &start, sizeof(start)) != sizeof(start))
		return;
	what->sector = start.first.sector;
	what->data_bytes = (uint64_t)start.first.num_sectors * SECTOR_BYTES;
}

static void blk_describe(const struct session *session,
			 const struct chain *chain, struct operation *what)
{
	blk_header header;

	(void)session;
	*what = (struct operation){ .kind = OPERATION_UNKNOWN };
	if (span_peek(&chain->out, &header, sizeof(header)) != sizeof(header))
		return;
	what->kind = kind_of(header.type);
	what->sector = header.sector;
	if (what->kind == OPERATION_READ)
		what->data_bytes = chain->in.bytes ? chain->in.bytes - 1 : 0;
	else if (what->kind == OPERATION_WRITE)
		what->data_bytes = chain->out.bytes - sizeof(header);
	else if (what->kind == OPERATION_DISCARD ||
		 what->kind == OPERATION_WRITE_ZEROES)
		describe_ranges(chain, what);
}

const struct device_ops blk_ops = {
	.name = "blk",
	.event_queue = DEVICE_QUEUES_MAX,
	.has_config_messages = true,
	.first_request_queue = 0,
	.features = blk_features,
	.open_session = blk_open_session,
	.get_config = blk_get_config,
	.set_config = blk_set_config,
	.resized = blk_resized,
	.describe = blk_describe,
	.serve = blk_serve,
	.finish = blk_finish,
	.answer = blk_answer,
};
