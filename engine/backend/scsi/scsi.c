/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-scsi: virtio 1.2, section 5.6. Reads commands from the request queues,
 * writes responses, and reports changes on the event queue.
 *
 * Each worker enters it with one request; configuration and events belong to
 * the control thread. The other files of this room carry out the commands.
 */
#include "scsi/scsi.h"

#include <errno.h>
#include <stddef.h>

#include <linux/virtio_scsi.h>

#include "base/feature.h"

enum {
	CONTROL_QUEUE = 0,
	EVENT_QUEUE = 1,
	FIRST_REQUEST_QUEUE = 2,
	/* 5.6.6.1: the bytes before the CDB, and before the sense data. */
	COMMAND_HEADER_BYTES = offsetof(struct virtio_scsi_cmd_req, cdb),
	RESPONSE_HEADER_BYTES = offsetof(struct virtio_scsi_cmd_resp, sense),
	RESPONSE_BYTES_MAX = RESPONSE_HEADER_BYTES + SENSE_BYTES_MAX,
	/* Most descriptors that may share one response. */
	RESPONSE_PIECES_MAX = 16,
};

/* ---- features and configuration ----------------------------------------- */

static uint64_t scsi_features(const struct device *device)
{
	return device->profile->scsi_features;
}

static void scsi_open_session(struct session *session)
{
	unsigned int i;

	session->cdb_bytes = VIRTIO_SCSI_CDB_DEFAULT_SIZE;
	session->sense_bytes = VIRTIO_SCSI_SENSE_DEFAULT_SIZE;
	session->events_missed = false;
	for (i = 0; i < session->device->disk_count; i++)
		session->attention[i] =
			session->device->profile->has_attention ? ASC_POWER_ON :
								  0;
}

static unsigned int scsi_get_config(const struct session *session, void *space)
{
	const struct device *device = session->device;
	struct virtio_scsi_config config = {
		.num_queues = device->request_queues,
		.seg_max = device->seg_max,
		.max_sectors = 0xffff,
		.cmd_per_lun = 128,
		.event_info_size = sizeof(struct virtio_scsi_event),
		.sense_size = session->sense_bytes,
		.cdb_size = session->cdb_bytes,
		.max_target = device->target_count - 1,
		.max_lun = device->lun_count - 1,
	};

	/* SPDK leaves the configuration space empty. */
	if (device->profile->ignores_config_offset)
		memset(&config, 0, sizeof(config));
	memcpy(space, &config, sizeof(config));
	return sizeof(config);
}

/* 5.6.4: a driver may write the sizes of CDBs and of sense data. */
static int scsi_set_config(struct session *session, unsigned int offset,
			   const void *data, unsigned int bytes)
{
	uint32_t value;

	if (bytes != sizeof(value))
		return -EPERM;
	memcpy(&value, data, sizeof(value));
	if (offset == offsetof(struct virtio_scsi_config, cdb_size) &&
	    value >= CDB_BYTES_MIN && value <= CDB_BYTES_MAX)
		session->cdb_bytes = value;
	else if (offset == offsetof(struct virtio_scsi_config, sense_size) &&
		 value >= SENSE_BYTES && value <= SENSE_BYTES_MAX)
		session->sense_bytes = value;
	else
		return -EPERM;
	return 0;
}

/* ---- events: 5.6.6.3 ----------------------------------------------------- */

static void fill_lun(uint8_t address[8], unsigned int target, unsigned int lun)
{
	memset(address, 0, 8);
	address[0] = 1;
	address[1] = target;
	address[2] = 0x40 | lun >> 8;
	address[3] = lun;
}

/* Puts an event into a buffer of the driver. Returns false if there is none. */
static bool post_event(struct ring *ring, const struct virtio_scsi_event *event)
{
	static __thread struct chain chain;
	uint16_t head;
	int result;

	if (!ring->running || ring->broken || ring_take(ring, &head, 1) != 1)
		return false;
	result = ring_load(ring, head, &chain);
	if (result) {
		ring_break(ring, "bad descriptor chain", result);
		return false;
	}
	ring_put(ring, head, span_put(&chain.in, event, sizeof(*event)));
	if (ring_publish(ring))
		ring_call(ring);
	return true;
}

static bool scsi_resized(struct session *session, struct disk *disk)
{
	const unsigned int luns = session->device->lun_count;
	struct virtio_scsi_event event = {
		.event = VIRTIO_SCSI_T_PARAM_CHANGE,
		.reason = ASC_CAPACITY_CHANGED >> 8 |
			  (ASC_CAPACITY_CHANGED & 0xff) << 8,
	};

	shared_write(&session->attention[disk->number], ASC_CAPACITY_CHANGED);
	if (!has_feature(session->features, VIRTIO_SCSI_F_CHANGE))
		return true;
	if (session->events_missed)
		event.event |= VIRTIO_SCSI_T_EVENTS_MISSED;
	fill_lun(event.lun, disk->number / luns, disk->number % luns);
	session->events_missed =
		!post_event(&session->rings[EVENT_QUEUE], &event);
	return true;
}

/* ---- commands ------------------------------------------------------------ */

/* The place of the response: the front of the memory that the device may write,
 * before the data. */
struct response_place {
	struct iovec pieces[RESPONSE_PIECES_MAX];
	struct span span;
};

static bool cut_response(struct session *session, struct chain *chain,
			 struct response_place *place)
{
	size_t bytes = RESPONSE_HEADER_BYTES + session->sense_bytes;

	place->span = span_cut_front(&chain->in, bytes, place->pieces,
				     RESPONSE_PIECES_MAX);
	return place->span.bytes == bytes;
}

/* 5.6.6.1: the residual is the unused part of the driver's buffer. */
static void write_response(const struct scsi_command *command,
			   struct response_place *place, size_t buffer_bytes)
{
	uint8_t bytes[RESPONSE_BYTES_MAX] = { 0 };
	struct virtio_scsi_cmd_resp header = {
		.resid = buffer_bytes - command->moved_bytes,
		.status = command->status,
		.response = command->response,
	};

	if (command->status == SCSI_CHECK_CONDITION) {
		header.sense_len = SENSE_BYTES;
		scsi_fill_sense(bytes + RESPONSE_HEADER_BYTES,
				command->sense_key, command->asc);
	}
	memcpy(bytes, &header, RESPONSE_HEADER_BYTES);
	span_put(&place->span, bytes, RESPONSE_HEADER_BYTES + header.sense_len);
}

/* Reads the header before the data. Returns false if it is incomplete. */
static bool read_header(struct session *session, struct chain *chain,
			struct scsi_command *command)
{
	struct virtio_scsi_cmd_req header;

	if (span_take_front(&chain->out, &header, COMMAND_HEADER_BYTES) !=
		    COMMAND_HEADER_BYTES ||
	    span_take_front(&chain->out, command->cdb, session->cdb_bytes) !=
		    session->cdb_bytes)
		return false;
	command->response = scsi_find_lun(session->device, header.lun,
					  &command->target, &command->lun);
	command->what->tag = header.tag;
	command->what->lun = scsi_lun_key(command->target, command->lun);
	if (command->response == VIRTIO_SCSI_S_OK)
		command->disk = scsi_find_disk(session->device, command->target,
					       command->lun);
	return true;
}

static void execute(struct chain *chain, struct scsi_command *command)
{
	if (command->response != VIRTIO_SCSI_S_OK)
		return;
	command->out = &chain->out;
	command->in = &chain->in;
	scsi_classify(command->cdb,
		      command->disk ? command->disk->block_bytes : SECTOR_BYTES,
		      command->what);
	/* Bidirectional commands are not supported. */
	if (chain->out.bytes && chain->in.bytes) {
		command->response = VIRTIO_SCSI_S_FAILURE;
		return;
	}
	scsi_execute(command);
}

static uint32_t used_length(const struct session *session, bool returned_data,
			    const struct scsi_command *command)
{
	if (session->device->profile->loose_used_length)
		return 0;
	return RESPONSE_HEADER_BYTES + session->sense_bytes +
	       (returned_data ? command->moved_bytes : 0);
}

static void give_answer(struct chain *chain, struct scsi_command *command,
			enum answer answer)
{
	switch (answer) {
	case ANSWER_ERROR:
		scsi_check(command, SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
		return;
	case ANSWER_BUSY:
		command->status = SCSI_BUSY;
		return;
	case ANSWER_FULL:
		command->status = SCSI_TASK_SET_FULL;
		return;
	case ANSWER_NOT_TAKEN:
		command->response = VIRTIO_SCSI_S_BUSY;
		return;
	default:
		execute(chain, command);
	}
}

/* The command succeeded; this only reports how. */
static void report_recovery(struct scsi_command *command)
{
	scsi_check(command, SENSE_RECOVERED_ERROR, ASC_RECOVERED_DATA);
}

static void serve_command(struct session *session, struct chain *chain,
			  struct operation *what, enum answer answer)
{
	struct scsi_command command = { .session = session, .what = what };
	struct response_place place;
	size_t out_bytes, in_bytes;

	*what = (struct operation){ .kind = OPERATION_UNKNOWN,
				    .failed = true,
				    .later = what->later };
	if (!cut_response(session, chain, &place))
		return;
	if (!read_header(session, chain, &command))
		command.response = VIRTIO_SCSI_S_FAILURE;
	out_bytes = chain->out.bytes;
	in_bytes = chain->in.bytes;
	give_answer(chain, &command, answer);
	if (is_postponed(what))
		return;
	what->failed = command.response || command.status;
	if (unlikely(answer == ANSWER_RECOVERED) && !what->failed)
		report_recovery(&command);
	write_response(&command, &place, out_bytes ? out_bytes : in_bytes);
	what->used_bytes = used_length(session, in_bytes, &command);
}

static void scsi_serve(struct session *session, const struct ring *ring,
		       struct chain *chain, struct operation *what)
{
	if (ring->index == CONTROL_QUEUE)
		scsi_task_serve(session, chain, what);
	else
		serve_command(session, chain, what, ANSWER_USUAL);
}

static void scsi_finish(struct session *session, struct chain *chain, int result,
			struct operation *what)
{
	const bool is_write = what->kind == OPERATION_WRITE;
	struct scsi_command command = { .session = session, .what = what };
	struct response_place place;

	what->failed = true;
	if (!cut_response(session, chain, &place))
		return;
	span_skip(&chain->out, COMMAND_HEADER_BYTES + session->cdb_bytes);
	scsi_check_result(&command, result,
			  is_write ? ASC_WRITE_ERROR : ASC_READ_ERROR);
	command.moved_bytes = result ? 0 : what->data_bytes;
	what->failed = command.status != SCSI_GOOD;
	write_response(&command, &place,
		       is_write ? chain->out.bytes : chain->in.bytes);
	what->used_bytes = used_length(session, !is_write, &command);
}

static void scsi_answer(struct session *session, const struct ring *ring,
			struct chain *chain, enum answer answer,
			struct operation *what)
{
	enum operation_kind kind = what->kind;

	/* The control queue has no such answers. */
	if (ring->index == CONTROL_QUEUE && answer != ANSWER_ERROR) {
		scsi_task_serve(session, chain, what);
		return;
	}
	serve_command(session, chain, what, answer);
	what->kind = kind;
}

/* Like virtio-blk's discards, an UNMAP is described by its first range. */
static void describe_unmap(const struct session *session,
			   const struct chain *chain, struct operation *what)
{
	uint8_t start[COMMAND_HEADER_BYTES + CDB_BYTES_MAX + UNMAP_HEADER_BYTES +
		      UNMAP_RANGE_BYTES];
	const size_t list = COMMAND_HEADER_BYTES + session->cdb_bytes;
	const size_t bytes = list + UNMAP_HEADER_BYTES + UNMAP_RANGE_BYTES;
	const uint32_t block_bytes = session->device->disks[0].block_bytes;
	const uint8_t *range = start + list + UNMAP_HEADER_BYTES;

	if (span_peek(&chain->out, start, bytes) != bytes)
		return;
	what->sector = get_be64(range) * (block_bytes / SECTOR_BYTES);
	what->data_bytes = (uint64_t)get_be32(range + 8) * block_bytes;
}

static void scsi_describe(const struct session *session,
			  const struct chain *chain, struct operation *what)
{
	struct virtio_scsi_cmd_req header;
	unsigned int target, lun;

	*what = (struct operation){ .kind = OPERATION_TASK };
	/* A request of the control queue is shorter than a command. */
	if (span_peek(&chain->out, &header, sizeof(header)) <
	    COMMAND_HEADER_BYTES + CDB_BYTES_MIN)
		return;
	scsi_find_lun(session->device, header.lun, &target, &lun);
	what->tag = header.tag;
	what->lun = scsi_lun_key(target, lun);
	scsi_classify(header.cdb, session->device->disks[0].block_bytes, what);
	if (what->kind == OPERATION_DISCARD)
		describe_unmap(session, chain, what);
}

const struct device_ops scsi_ops = {
	.name = "scsi",
	.first_request_queue = FIRST_REQUEST_QUEUE,
	.event_queue = EVENT_QUEUE,
	.features = scsi_features,
	.open_session = scsi_open_session,
	.get_config = scsi_get_config,
	.set_config = scsi_set_config,
	.resized = scsi_resized,
	.describe = scsi_describe,
	.serve = scsi_serve,
	.finish = scsi_finish,
	.can_be_busy = true,
	.answer = scsi_answer,
};
