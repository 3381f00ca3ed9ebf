/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an answer means; see disk/scsi_answer.h. */
#include "disk/scsi_answer.h"

#include <errno.h>

#include "base/barrier.h"
#include "base/error.h"
#include "disk/sense.h"

/* ---- the response of the controller (5.6.6.1) ------------------------------------ */

static const char *response_name(uint8_t response)
{
	static const char *const names[] = {
		[VIRTIO_SCSI_S_OVERRUN] = "more data than the buffer holds",
		[VIRTIO_SCSI_S_ABORTED] = "aborted",
		[VIRTIO_SCSI_S_BAD_TARGET] = "no such target or LUN",
		[VIRTIO_SCSI_S_RESET] = "the bus or device was reset",
		[VIRTIO_SCSI_S_BUSY] = "the device is busy",
		[VIRTIO_SCSI_S_TRANSPORT_FAILURE] = "transport failure",
		[VIRTIO_SCSI_S_TARGET_FAILURE] = "target failure",
		[VIRTIO_SCSI_S_NEXUS_FAILURE] = "nexus failure",
		[VIRTIO_SCSI_S_FAILURE] = "failure",
	};

	if (response == SCSI_UNTOUCHED)
		return "nothing: it could not read the request";
	if (response == VIRTIO_SCSI_S_INCORRECT_LUN)
		return "no such LUN";
	if (response >= sizeof(names) / sizeof(names[0]) || !names[response])
		return "an unknown response";
	return names[response];
}

static int response_result(uint8_t response)
{
	switch (response) {
	case VIRTIO_SCSI_S_ABORTED:
	case VIRTIO_SCSI_S_RESET:
		return DISK_TRY_AGAIN;
	case VIRTIO_SCSI_S_BUSY:
		return DISK_TRY_LATER;
	case VIRTIO_SCSI_S_BAD_TARGET:
	case VIRTIO_SCSI_S_INCORRECT_LUN:
		return ENXIO;
	default:
		return EIO;
	}
}

static int explain_response(const struct request *req, uint8_t response)
{
	error_set(EIO, "the back-end answered a %s of %u bytes at %llu "
		"with: %s (response %u)", disk_request_name(req->type),
		req->part_bytes,
		(unsigned long long)req->offset_bytes - req->part_bytes,
		response_name(response), response);
	return response_result(response);
}

/* ---- the status of the disk ------------------------------------------------------ */

/* SAM status codes, unshifted (SAM-5, 5.3.1). */
#define STATUS_GOOD 0x00
#define STATUS_CHECK_CONDITION 0x02
#define STATUS_CONDITION_MET 0x04
#define STATUS_BUSY 0x08
#define STATUS_RESERVATION_CONFLICT 0x18
#define STATUS_TASK_SET_FULL 0x28
#define STATUS_ACA_ACTIVE 0x30
#define STATUS_TASK_ABORTED 0x40

static const char *status_name(uint8_t status)
{
	switch (status) {
	case STATUS_BUSY:
		return "it is busy";
	case STATUS_RESERVATION_CONFLICT:
		return "it is reserved for another initiator";
	case STATUS_TASK_SET_FULL:
		return "it has as many commands as it can hold";
	case STATUS_ACA_ACTIVE:
		return "it waits for an error of another initiator to be cleared";
	case STATUS_TASK_ABORTED:
		return "it aborted the command";
	default:
		return "it gave no reason that is known";
	}
}

static int status_result(uint8_t status)
{
	switch (status) {
	case STATUS_BUSY:
	case STATUS_TASK_SET_FULL:
	case STATUS_ACA_ACTIVE:
		return DISK_TRY_LATER;
	case STATUS_TASK_ABORTED:
		return DISK_TRY_AGAIN;
	case STATUS_RESERVATION_CONFLICT:
		return EBADE;
	default:
		return EIO;
	}
}

static int explain_status(const struct request *req, uint8_t status)
{
	error_set(EIO, "the disk refused a %s of %u bytes at %llu: %s (status %02Xh)",
		disk_request_name(req->type), req->part_bytes,
		(unsigned long long)req->offset_bytes - req->part_bytes,
		status_name(status), status);
	return status_result(status);
}

/* ---- sense data ------------------------------------------------------------------ */

static void explain_sense(const struct request *req, const struct sense *sense)
{
	const char *name = sense_code_name(sense->asc, sense->ascq);

	error_set(EIO, "the disk refused a %s of %u bytes "
		"at %llu: %s%s, ASC %02Xh, ASCQ %02Xh%s%s%s (status 02h)",
		disk_request_name(req->type), req->part_bytes,
		(unsigned long long)req->offset_bytes - req->part_bytes,
		sense->is_deferred ? "an earlier command failed with " : "",
		sense_key_name(sense->key), sense->asc, sense->ascq,
		*name ? " (" : "", name, *name ? ")" : "");
}

/* A disk that has no command to write its cache, and says of no cache, has none. */
static bool needs_no_flush(const struct disk *disk, const struct request *req,
			   int code)
{
	return code == EOPNOTSUPP && req->type == REQUEST_FLUSH &&
	       !disk->info.writeback;
}

static int result_of_sense(const struct disk *disk, const struct request *req,
			   const struct sense *sense)
{
	int code;

	switch (sense_judge(sense)) {
	case SENSE_SUCCESS:
		return 0;
	case SENSE_AGAIN:
		code = DISK_TRY_AGAIN;
		break;
	case SENSE_LATER:
		code = DISK_TRY_LATER;
		break;
	default:
		code = sense_errno(sense);
	}
	if (needs_no_flush(disk, req, code))
		return 0;
	explain_sense(req, sense);
	return code;
}

static int check_condition(const struct disk *disk,
			   const struct virtio_scsi_cmd_resp *answer,
			   const struct request *req)
{
	uint32_t size = answer->sense_len;
	struct sense sense;

	if (size > sizeof(answer->sense))
		size = sizeof(answer->sense);
	sense = sense_parse(answer->sense, size);
	return result_of_sense(disk, req, &sense);
}

/* ---- all together ---------------------------------------------------------------- */

/* Data that did not move to or from the medium. Of parameter lists, UNMAP's among
 * them, back-ends say what they like. */
static int check_residual(uint32_t residual, const struct request *req)
{
	if (!residual || req->type > REQUEST_WRITE)
		return 0;
	return -error_set(EIO, "the back-end moved %u bytes less than the %u of "
		"a %s at %llu", residual, req->part_bytes,
		disk_request_name(req->type),
		(unsigned long long)req->offset_bytes - req->part_bytes);
}

static int judge(const struct disk *disk, const struct virtio_scsi_cmd_resp *answer,
		 const struct request *req)
{
	int failure = 0;

	if (answer->response != VIRTIO_SCSI_S_OK)
		return explain_response(req, answer->response);
	if (answer->status == STATUS_CHECK_CONDITION)
		failure = check_condition(disk, answer, req);
	else if (answer->status != STATUS_GOOD &&
		 answer->status != STATUS_CONDITION_MET)
		failure = explain_status(req, answer->status);
	return failure ? failure : check_residual(answer->resid, req);
}

int scsi_judge(const struct disk *disk, const struct virtio_scsi_cmd_resp *shared,
	       const struct request *req)
{
	struct virtio_scsi_cmd_resp answer;

	copy_relaxed(&answer, shared, sizeof(answer));
	return judge(disk, &answer, req);
}
