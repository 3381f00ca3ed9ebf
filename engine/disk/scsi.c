/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-scsi; see disk/scsi.h. prepare and result are on the I/O path. */
#include "disk/scsi.h"

#include <errno.h>
#include <linux/virtio_scsi.h>
#include <scsi/scsi.h>
#include <stddef.h>
#include <string.h>

#include "base/barrier.h"
#include "base/error.h"
#include "disk/scsi_answer.h"

/* Opcodes that <scsi/scsi.h> lacks (SBC-3). */
#define OP_READ_16 0x88
#define OP_WRITE_16 0x8a
#define OP_SYNCHRONIZE_CACHE_16 0x91
#define OP_UNMAP 0x42

#define UNMAP_LIST_BYTES 24 /* header and one descriptor */

#define DEFAULT_MAX_SECTORS 0xffff /* for back-ends that tell no limit */
#define SECTOR_BYTES 512u
#define DEFAULT_MAX_TARGET 255

/* The back-end writes the first member. We write the second one, the parameter list of
 * UNMAP. It is placed here so that a command and the beginning of its response, which
 * are enough for most requests, fill one cache line. */
struct scsi_response {
	struct virtio_scsi_cmd_resp answer;
	uint8_t unmap_list[UNMAP_LIST_BYTES];
};

static void put_be16(uint8_t *to, uint16_t value)
{
	value = __builtin_bswap16(value);
	memcpy(to, &value, sizeof(value));
}

static void put_be32(uint8_t *to, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(to, &value, sizeof(value));
}

static void put_be64(uint8_t *to, uint64_t value)
{
	value = __builtin_bswap64(value);
	memcpy(to, &value, sizeof(value));
}

/* ---- configuration ---------------------------------------------------------- */

void scsi_set_address(struct disk *disk, unsigned int target, unsigned int lun)
{
	memset(disk->scsi_lun, 0, sizeof(disk->scsi_lun));
	disk->scsi_lun[0] = 1;
	disk->scsi_lun[1] = (uint8_t)target;
	disk->scsi_lun[2] = (uint8_t)(lun >> 8 | 0x40);
	disk->scsi_lun[3] = (uint8_t)lun;
}

bool scsi_is_config(const void *space)
{
	struct virtio_scsi_config config;

	memcpy(&config, space, SCSI_CONFIG_BYTES);
	return config.sense_size == VIRTIO_SCSI_SENSE_DEFAULT_SIZE &&
	       config.cdb_size == VIRTIO_SCSI_CDB_DEFAULT_SIZE;
}

void scsi_assume_config(struct disk *disk)
{
	disk->info.seg_max = 1;
	disk->info.max_queues = 1;
	disk->max_target = DEFAULT_MAX_TARGET;
	disk->max_transfer_bytes = (uint64_t)DEFAULT_MAX_SECTORS * SECTOR_BYTES;
}

void scsi_read_config(const void *space, struct disk *disk)
{
	struct virtio_scsi_config config;

	memcpy(&config, space, SCSI_CONFIG_BYTES);
	scsi_assume_config(disk);
	disk->info.has_config = true;
	if (config.num_queues)
		disk->info.max_queues = config.num_queues;
	if (config.seg_max)
		disk->info.seg_max = config.seg_max;
	if (config.max_sectors)
		disk->max_transfer_bytes =
			(uint64_t)config.max_sectors * SECTOR_BYTES;
	if (config.max_target < DEFAULT_MAX_TARGET)
		disk->max_target = config.max_target;
}

/* ---- command descriptor blocks ------------------------------------------------ */

/* Uses the ten byte commands if possible, because some devices know no others. */
static void fill_rw_cdb(uint8_t *cdb, bool is_read, uint64_t block, uint32_t blocks)
{
	if (block <= UINT32_MAX && blocks <= UINT16_MAX) {
		cdb[0] = is_read ? READ_10 : WRITE_10;
		put_be32(cdb + 2, (uint32_t)block);
		put_be16(cdb + 7, (uint16_t)blocks);
		cdb[6] = cdb[9] = 0;
	} else {
		cdb[0] = is_read ? OP_READ_16 : OP_WRITE_16;
		put_be64(cdb + 2, block);
		put_be32(cdb + 10, blocks);
		cdb[14] = cdb[15] = 0;
	}
	cdb[1] = 0;
}

/* Block 0 with a length of 0 means the whole cache. */
static void fill_flush_cdb(const struct disk *disk, uint8_t *cdb)
{
	memset(cdb, 0, SCSI_CDB_BYTES);
	cdb[0] = disk->info.capacity_bytes / disk->info.block_size > UINT32_MAX ?
		 OP_SYNCHRONIZE_CACHE_16 : SYNCHRONIZE_CACHE;
}

static void fill_unmap(uint8_t *cdb, uint8_t *list, uint64_t block, uint32_t blocks)
{
	memset(cdb, 0, SCSI_CDB_BYTES);
	cdb[0] = OP_UNMAP;
	put_be16(cdb + 7, UNMAP_LIST_BYTES);
	memset(list, 0, UNMAP_LIST_BYTES);
	put_be16(list, UNMAP_LIST_BYTES - 2);     /* bytes that follow */
	put_be16(list + 2, UNMAP_LIST_BYTES - 8); /* bytes of descriptors */
	put_be64(list + 8, block);
	put_be32(list + 16, blocks);
}

/* ---- requests ------------------------------------------------------------------ */

static void lay(const struct disk *disk, struct virtq *vq, uint16_t chain)
{
	struct virtio_scsi_cmd_req *command = virtq_request(vq, chain);
	struct vring_desc *desc = virtq_chain(vq, chain);

	(void)disk;
	memset(command, 0, sizeof(*command));
	command->tag = chain;
	virtq_set_desc(desc, command, sizeof(*command), VRING_DESC_F_NEXT);
}

static void unanswer(struct virtq *vq, uint16_t chain)
{
	struct virtio_scsi_cmd_resp *response = virtq_response(vq, chain);

	response->response = response->status = SCSI_UNTOUCHED;
}

static void fill_response(struct virtq *vq, uint16_t chain, struct vring_desc *desc,
			  uint16_t flags)
{
	struct virtio_scsi_cmd_resp *response = virtq_response(vq, chain);

	unanswer(vq, chain);
	virtq_set_desc(desc, response, sizeof(*response),
		       VRING_DESC_F_WRITE | flags);
}

/* Device-readable descriptors come first (2.7.4.2), so the data of a write come before
 * the response, and the data of a read after it. */
static uint16_t add_data_out(const struct disk *disk, struct virtq *vq,
			     struct vring_desc *desc, struct request *req)
{
	uint16_t count = 1 + disk_fill_segments(disk, desc + 1, req,
						VRING_DESC_F_NEXT,
						VRING_DESC_F_NEXT);

	fill_response(vq, req->chain, desc + count, 0);
	return count + 1;
}

static uint16_t add_data_in(const struct disk *disk, struct virtq *vq,
			    struct vring_desc *desc, struct request *req)
{
	fill_response(vq, req->chain, desc + 1,
		      req->part_bytes ? VRING_DESC_F_NEXT : 0);
	return 2 + disk_fill_segments(disk, desc + 2, req,
				      VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
				      VRING_DESC_F_WRITE);
}

static uint16_t prepare_rw(const struct disk *disk, struct virtq *vq,
			   struct virtio_scsi_cmd_req *command, struct vring_desc *desc,
			   struct request *req)
{
	bool is_read = req->type == REQUEST_READ;
	uint32_t bytes = disk_take_part(req, disk->max_part_bytes);

	fill_rw_cdb(command->cdb, is_read,
		    (req->offset_bytes - bytes) >> disk->block_shift,
		    bytes >> disk->block_shift);
	return is_read ? add_data_in(disk, vq, desc, req) :
			 add_data_out(disk, vq, desc, req);
}

static uint16_t prepare_unmap(const struct disk *disk, struct virtq *vq,
			      struct virtio_scsi_cmd_req *command, struct vring_desc *desc,
			      struct request *req)
{
	struct scsi_response *response = virtq_response(vq, req->chain);
	uint32_t bytes = disk_take_part(req, disk->max_discard_part_bytes);

	fill_unmap(command->cdb, response->unmap_list,
		   (req->offset_bytes - bytes) >> disk->block_shift,
		   bytes >> disk->block_shift);
	virtq_set_desc(desc + 1, response->unmap_list,
		       sizeof(response->unmap_list), VRING_DESC_F_NEXT);
	fill_response(vq, req->chain, desc + 2, 0);
	return 3;
}

static uint16_t prepare(const struct disk *disk, struct virtq *vq,
			struct request *req)
{
	struct virtio_scsi_cmd_req *command = virtq_request(vq, req->chain);
	struct vring_desc *desc = virtq_chain(vq, req->chain);

	memcpy(command->lun, disk->scsi_lun, sizeof(command->lun));
	switch (req->type) {
	case REQUEST_READ:
	case REQUEST_WRITE:
		return prepare_rw(disk, vq, command, desc, req);
	case REQUEST_DISCARD:
		return prepare_unmap(disk, vq, command, desc, req);
	case REQUEST_COMMAND:
		memcpy(command->cdb, ((struct scsi_command *)req->user)->cdb,
		       SCSI_CDB_BYTES);
		disk_take_part(req, DISK_MAX_PART_BYTES);
		return add_data_in(disk, vq, desc, req);
	default:
		fill_flush_cdb(disk, command->cdb);
		req->part_bytes = 0;
		return add_data_in(disk, vq, desc, req);
	}
}

/* ---- responses ------------------------------------------------------------------ */

static uint32_t load_residual(const struct virtio_scsi_cmd_resp *response)
{
	const void *residual = (const char *)response +
			       offsetof(struct virtio_scsi_cmd_resp, resid);

	return load_relaxed_u32(residual);
}

static int result(const struct disk *disk, struct virtq *vq,
		  const struct request *req)
{
	const struct virtio_scsi_cmd_resp *response = virtq_response(vq, req->chain);

	/* scsi_judge() reads all of it again: if the back-end changes it meanwhile, then
	 * either answer counts. */
	if (load_relaxed_u8(&response->response) == VIRTIO_SCSI_S_OK &&
	    load_relaxed_u8(&response->status) == GOOD && !load_residual(response))
		return 0;
	return scsi_judge(disk, response, req);
}

bool scsi_is_answered(const struct virtq *vq, uint16_t chain)
{
	const struct virtio_scsi_cmd_resp *response = virtq_response(vq, chain);

	return load_relaxed_u8(&response->response) != SCSI_UNTOUCHED;
}

const struct command_set scsi_command_set = {
	.request_bytes = sizeof(struct virtio_scsi_cmd_req),
	.response_bytes = sizeof(struct scsi_response),
	.lay = lay,
	.prepare = prepare,
	.unanswer = unanswer,
	.result = result,
};

/* ---- task management (5.6.6.2) --------------------------------------------------- */

static void lay_control(const struct disk *disk, struct virtq *vq, uint16_t chain)
{
	struct virtio_scsi_ctrl_tmf_req *area = virtq_request(vq, chain);
	struct virtio_scsi_ctrl_tmf_resp *response = virtq_response(vq, chain);
	struct vring_desc *desc = virtq_chain(vq, chain);

	(void)disk;
	virtq_set_desc(desc, area, sizeof(*area), VRING_DESC_F_NEXT);
	virtq_set_desc(desc + 1, response, sizeof(*response), VRING_DESC_F_WRITE);
}

static void unanswer_control(struct virtq *vq, uint16_t chain)
{
	struct virtio_scsi_ctrl_tmf_resp *response = virtq_response(vq, chain);

	response->response = SCSI_UNTOUCHED;
}

static uint16_t prepare_control(const struct disk *disk, struct virtq *vq,
				struct request *req)
{
	struct virtio_scsi_ctrl_tmf_req *area = virtq_request(vq, req->chain);

	memset(area, 0, sizeof(*area));
	area->type = VIRTIO_SCSI_T_TMF;
	area->subtype = VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET;
	memcpy(area->lun, disk->scsi_lun, sizeof(area->lun));
	unanswer_control(vq, req->chain);
	req->part_bytes = 0;
	return 2;
}

static int result_control(const struct disk *disk, struct virtq *vq,
			  const struct request *req)
{
	const struct virtio_scsi_ctrl_tmf_resp *response =
		virtq_response(vq, req->chain);
	uint8_t code = load_relaxed_u8(&response->response);

	(void)disk;
	if (code == VIRTIO_SCSI_S_OK || code == VIRTIO_SCSI_S_FUNCTION_SUCCEEDED)
		return 0;
	return -error_set(EIO, "the back-end did not reset the logical unit "
		"(response %u)", code);
}

const struct command_set scsi_control_command_set = {
	.request_bytes = sizeof(struct virtio_scsi_ctrl_tmf_req),
	.response_bytes = sizeof(struct virtio_scsi_ctrl_tmf_resp),
	.lay = lay_control,
	.prepare = prepare_control,
	.unanswer = unanswer_control,
	.result = result_control,
};
