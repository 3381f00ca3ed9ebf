/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SCSI sense data; see disk/sense.h. */
#include "disk/sense.h"

#include <errno.h>

enum sense_key {
	KEY_NO_SENSE = 0x0,
	KEY_RECOVERED_ERROR = 0x1,
	KEY_NOT_READY = 0x2,
	KEY_MEDIUM_ERROR = 0x3,
	KEY_HARDWARE_ERROR = 0x4,
	KEY_ILLEGAL_REQUEST = 0x5,
	KEY_UNIT_ATTENTION = 0x6,
	KEY_DATA_PROTECT = 0x7,
	KEY_ABORTED_COMMAND = 0xb,
	KEY_VOLUME_OVERFLOW = 0xd,
	KEY_COMPLETED = 0xf,
};

#define FORMAT_FIXED 0x70
#define FORMAT_DESCRIPTOR 0x72
#define DEFERRED 0x01 /* the lowest bit of both formats' response codes */

#define ASC_NOT_READY 0x04
#define ASC_PROTECTION_CHECK 0x10

static void parse_fixed(struct sense *sense, const uint8_t *data, size_t size)
{
	sense->is_valid = size > 2;
	if (size > 2)
		sense->key = data[2] & 0xf;
	if (size > 12)
		sense->asc = data[12];
	if (size > 13)
		sense->ascq = data[13];
}

static void parse_descriptor(struct sense *sense, const uint8_t *data, size_t size)
{
	sense->is_valid = size > 1;
	if (size > 1)
		sense->key = data[1] & 0xf;
	if (size > 2)
		sense->asc = data[2];
	if (size > 3)
		sense->ascq = data[3];
}

struct sense sense_parse(const uint8_t *data, size_t size)
{
	struct sense sense = { 0 };
	uint8_t format = size ? data[0] & 0x7e : 0;

	if (format == FORMAT_FIXED)
		parse_fixed(&sense, data, size);
	else if (format == FORMAT_DESCRIPTOR)
		parse_descriptor(&sense, data, size);
	sense.is_deferred = sense.is_valid && data[0] & DEFERRED;
	return sense;
}

/* What passes by itself: it becomes ready, formats, rebuilds, checks itself, changes
 * the state of its ports (SPC-4, annex F). */
static bool becomes_ready(const struct sense *sense)
{
	switch (sense->ascq) {
	case 0x01: case 0x04: case 0x05: case 0x06: case 0x07: case 0x08: case 0x09:
	case 0x0a: case 0x11: case 0x14: case 0x1a: case 0x1b: case 0x1d: case 0x24:
		return sense->asc == ASC_NOT_READY;
	default:
		return false;
	}
}

/* An earlier command that failed after it had succeeded must not go unheard: its
 * data is lost. */
static enum sense_outcome judge_deferred(const struct sense *sense)
{
	switch (sense->key) {
	case KEY_NO_SENSE:
	case KEY_RECOVERED_ERROR:
	case KEY_UNIT_ATTENTION:
		return SENSE_AGAIN;
	default:
		return SENSE_ERROR;
	}
}

enum sense_outcome sense_judge(const struct sense *sense)
{
	if (!sense->is_valid)
		return SENSE_ERROR;
	if (sense->is_deferred)
		return judge_deferred(sense);
	switch (sense->key) {
	case KEY_RECOVERED_ERROR:
	case KEY_COMPLETED:
		return SENSE_SUCCESS;
	case KEY_NO_SENSE:
	case KEY_UNIT_ATTENTION:
		return SENSE_AGAIN;
	case KEY_ABORTED_COMMAND:
		return sense->asc == ASC_PROTECTION_CHECK ? SENSE_ERROR : SENSE_AGAIN;
	case KEY_NOT_READY:
		return becomes_ready(sense) ? SENSE_LATER : SENSE_ERROR;
	default:
		return SENSE_ERROR;
	}
}

static int illegal_request_errno(const struct sense *sense)
{
	switch (sense->asc) {
	case 0x20: /* operation code */
		return EOPNOTSUPP;
	case 0x21: /* block address */
		return ENOSPC;
	case 0x25: /* logical unit */
		return ENXIO;
	default:
		return EINVAL;
	}
}

int sense_errno(const struct sense *sense)
{
	if (!sense->is_valid || sense->is_deferred)
		return EIO;
	switch (sense->key) {
	case KEY_ILLEGAL_REQUEST:
		return illegal_request_errno(sense);
	case KEY_NOT_READY:
		return sense->asc == 0x3a ? ENOMEDIUM : EIO;
	case KEY_DATA_PROTECT:
		/* 27h/07h: a thin disk whose pool is full */
		return sense->asc == 0x27 && sense->ascq == 0x07 ? ENOSPC : EROFS;
	case KEY_VOLUME_OVERFLOW:
		return ENOSPC;
	default:
		return EIO;
	}
}

const char *sense_key_name(uint8_t key)
{
	static const char *const names[16] = {
		"NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR",
		"HARDWARE ERROR", "ILLEGAL REQUEST", "UNIT ATTENTION",
		"DATA PROTECT", "BLANK CHECK", "VENDOR SPECIFIC",
		"COPY ABORTED", "ABORTED COMMAND", "RESERVED",
		"VOLUME OVERFLOW", "MISCOMPARE", "COMPLETED",
	};

	return names[key & 0xf];
}

const char *sense_code_name(uint8_t asc, uint8_t ascq)
{
	static const struct {
		uint8_t asc, ascq;
		const char *name;
	} codes[] = {
		{ 0x04, 0x00, "not ready, cause not reportable" },
		{ 0x04, 0x01, "becoming ready" },
		{ 0x08, 0x00, "communication failure" },
		{ 0x0c, 0x00, "write error" },
		{ 0x10, 0x01, "block guard check failed" },
		{ 0x11, 0x00, "unrecovered read error" },
		{ 0x1a, 0x00, "parameter list length error" },
		{ 0x20, 0x00, "invalid command operation code" },
		{ 0x21, 0x00, "logical block address out of range" },
		{ 0x24, 0x00, "invalid field in CDB" },
		{ 0x25, 0x00, "logical unit not supported" },
		{ 0x26, 0x00, "invalid field in parameter list" },
		{ 0x27, 0x00, "write protected" },
		{ 0x27, 0x07, "space allocation failed" },
		{ 0x29, 0x00, "power on, reset or bus device reset" },
		{ 0x2a, 0x09, "capacity data has changed" },
		{ 0x3a, 0x00, "medium not present" },
		{ 0x3f, 0x0e, "reported LUNs data has changed" },
		{ 0x44, 0x00, "internal target failure" },
		{ 0x55, 0x03, "insufficient resources" },
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].asc == asc && codes[i].ascq == ascq)
			return codes[i].name;
	return "";
}
