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
};

#define FORMAT_FIXED 0x70
#define FORMAT_DESCRIPTOR 0x72

struct sense sense_parse(const uint8_t *data, size_t size)
{
	struct sense sense = { 0 };
	uint8_t format = size ? data[0] & 0x7e : 0;

	if (format == FORMAT_FIXED && size >= 14) {
		sense.key = data[2] & 0xf;
		sense.asc = data[12];
		sense.ascq = data[13];
		sense.is_valid = true;
	} else if (format == FORMAT_DESCRIPTOR && size >= 4) {
		sense.key = data[1] & 0xf;
		sense.asc = data[2];
		sense.ascq = data[3];
		sense.is_valid = true;
	}
	return sense;
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
	if (!sense->is_valid)
		return EIO;
	switch (sense->key) {
	case KEY_ILLEGAL_REQUEST:
		return illegal_request_errno(sense);
	case KEY_NOT_READY:
		return sense->asc == 0x3a ? ENOMEDIUM : EIO;
	case KEY_DATA_PROTECT:
		/* 27h/07h: a thin disk whose pool is full */
		return sense->asc == 0x27 && sense->ascq == 0x07 ? ENOSPC : EROFS;
	default:
		return EIO;
	}
}

bool sense_is_attention(const struct sense *sense)
{
	return sense->is_valid && sense->key == KEY_UNIT_ATTENTION;
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
