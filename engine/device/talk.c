/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands to a disk that is looked for; see device/talk.h. */
#include "device/talk.h"

#include <errno.h>
#include <scsi/scsi.h>
#include <string.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/error.h"
#include "device/device.h"
#include "device/execute_one.h"
#include "disk/scsi.h"

#define INQUIRY_BYTES 255
#define MODE_BYTES 255
#define MODE_NO_DESCRIPTORS 0x08

int talk_send(struct talk *talk, const uint8_t *cdb, size_t cdb_size, uint32_t size)
{
	struct scsi_command command = { 0 };
	struct request *req;
	int code;

	/* The chain of a request that did not come back is not used again. */
	if (talk->queue->abandoned)
		return error_set(talk->queue->abandoned, "%s", talk->queue->reason);
	req = queue_get(talk->queue);
	memcpy(command.cdb, cdb, cdb_size);
	memset(talk->shared, 0, TALK_BYTES);
	req->type = REQUEST_COMMAND;
	req->user = &command;
	req->buffer = (char *)talk->shared;
	req->offset_bytes = 0;
	req->left_bytes = size;
	code = execute(talk->queue, req, talk->dev->vu.fd,
		       (unsigned int)clock_left_ms(talk->deadline_ns));
	copy_relaxed(talk->buffer, talk->shared, TALK_BYTES);
	return code;
}

static int inquire(struct talk *talk, uint8_t page)
{
	const uint8_t cdb[6] = { INQUIRY, page != 0, page, 0, INQUIRY_BYTES };

	return talk_send(talk, cdb, sizeof(cdb), INQUIRY_BYTES);
}

int talk_inquire(struct talk *talk)
{
	return inquire(talk, 0);
}

int talk_read_page(struct talk *talk, uint8_t page)
{
	int size;

	if (inquire(talk, page) || talk->buffer[1] != page)
		return 0;
	size = 4 + get_be16(talk->buffer + 2);
	return size < INQUIRY_BYTES ? size : INQUIRY_BYTES;
}

/* The first page lies behind the header and the block descriptors. */
static void parse_mode(const struct talk *talk, struct mode *mode, int header_bytes,
		       int descriptor_bytes)
{
	int place = header_bytes + descriptor_bytes;

	if (place + 3 > MODE_BYTES)
		return;
	mode->page = talk->buffer[place] & 0x3f;
	mode->flags = talk->buffer[place + 2];
}

/* SPC-4, 7.5.5: the mode parameter headers of both lengths. */
int talk_read_mode(struct talk *talk, uint8_t page, struct mode *mode)
{
	const uint8_t short_cdb[6] = { MODE_SENSE, MODE_NO_DESCRIPTORS, page, 0,
				       MODE_BYTES };
	const uint8_t long_cdb[10] = { MODE_SENSE_10, MODE_NO_DESCRIPTORS, page,
				       [8] = MODE_BYTES };
	const uint8_t *data = talk->buffer;
	int code = talk_send(talk, short_cdb, sizeof(short_cdb), MODE_BYTES);

	*mode = (struct mode){ 0 };
	if (!code && data[0] >= 3) {
		mode->specific = data[2];
		parse_mode(talk, mode, 4, data[3]);
		return 0;
	}
	code = talk_send(talk, long_cdb, sizeof(long_cdb), MODE_BYTES);
	if (!code && get_be16(data) >= 6) {
		mode->specific = data[3];
		parse_mode(talk, mode, 8, get_be16(data + 6));
		return 0;
	}
	return code ? code : -ENODATA;
}
