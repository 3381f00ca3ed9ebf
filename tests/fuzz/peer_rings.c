/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests of the peer; see peer.h. It reads chains without checks, because the
 * front-end made them, and writes what the fuzzer wants wherever a back-end may write.
 */
#include "peer_rings.h"

#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <scsi/scsi.h>

#define QUEUES 16
#define SEGMENTS 64
#define DATA_BYTES 4096
#define SERVICE_ACTION_IN_16 0x9e
#define REPORT_LUNS_OP 0xa0

enum lie {
	LIE_NONE,
	LIE_DATA,     /* other data */
	LIE_BITS,     /* four bytes of the data */
	LIE_SENSE,    /* a CHECK CONDITION */
	LIE_RESPONSE, /* the beginning of the response, or the status */
	LIE_SILENCE,
	LIE_ELEMENT,  /* of the used ring */
	LIE_INDEX,    /* of the used ring */
	LIES
};

struct ring {
	uint32_t size;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t taken;
};

/* The parts of a chain. */
struct parts {
	const uint8_t *request;
	uint32_t request_bytes;
	struct vring_desc in[SEGMENTS];
	unsigned int num_in;
};

static struct {
	bool is_scsi;
	struct input *answers;
	struct ring rings[QUEUES];
} device;

void peer_rings_begin(bool is_scsi, struct input *answers)
{
	memset(&device, 0, sizeof(device));
	device.is_scsi = is_scsi;
	device.answers = answers;
}

void peer_rings_set_size(uint32_t index, uint32_t size)
{
	require(index < QUEUES && size && !(size & (size - 1)), "a ring has a size");
	device.rings[index].size = size;
}

void peer_rings_set_addresses(const struct vhost_user_vring_addr *addresses)
{
	struct ring *ring = &device.rings[addresses->index % QUEUES];

	ring->desc = (struct vring_desc *)(uintptr_t)addresses->descriptor;
	ring->avail = (struct vring_avail *)(uintptr_t)addresses->available;
	ring->used = (struct vring_used *)(uintptr_t)addresses->used;
}

void peer_rings_set_base(uint32_t index, uint16_t base)
{
	device.rings[index % QUEUES].taken = base;
}

void peer_rings_stop_all(void)
{
	memset(device.rings, 0, sizeof(device.rings));
}

void peer_rings_stop(uint32_t index)
{
	memset(&device.rings[index % QUEUES], 0, sizeof(device.rings[0]));
}

/* ---- chains ---------------------------------------------------------------------- */

static void read_chain(const struct ring *ring, uint16_t head, struct parts *parts)
{
	const struct vring_desc *table = ring->desc, *at = table + head;

	memset(parts, 0, sizeof(*parts));
	if (at->flags & VRING_DESC_F_INDIRECT)
		table = at = (const struct vring_desc *)(uintptr_t)at->addr;
	for (;;) {
		if (!parts->request) {
			parts->request = (const uint8_t *)(uintptr_t)at->addr;
			parts->request_bytes = at->len;
		} else if (at->flags & VRING_DESC_F_WRITE && parts->num_in < SEGMENTS) {
			parts->in[parts->num_in++] = *at;
		}
		if (!(at->flags & VRING_DESC_F_NEXT))
			return;
		at = table + at->next;
	}
}

/* Returns how many bytes were put into segments from `first` to before `end`. */
static uint32_t put(const struct parts *parts, unsigned int first, unsigned int end,
		    const uint8_t *data, uint32_t bytes)
{
	uint32_t done = 0;

	for (unsigned int i = first; i < end && done < bytes; i++) {
		uint32_t piece = parts->in[i].len < bytes - done ? parts->in[i].len :
				 bytes - done;

		memcpy((void *)(uintptr_t)parts->in[i].addr, data + done, piece);
		done += piece;
	}
	return done;
}

/* ---- honest answers -------------------------------------------------------------- */

static uint32_t fill_inquiry(const uint8_t *cdb, uint8_t *data)
{
	data[1] = cdb[2];
	data[3] = 60;
	if (!(cdb[1] & 1)) {
		data[1] = 0;
		memcpy(data + 8, "FUZZ    disk            1   ", 28);
		return 36;
	}
	if (cdb[2] == 0x80)
		memcpy(data + 4, "serial", 6);
	if (cdb[2] == 0xb0)
		data[23] = data[27] = data[31] = 8;
	if (cdb[2] == 0xb2)
		data[5] = 0x80;
	return 64;
}

/* The data of a command; 0: it has none. */
static uint32_t fill_data(const uint8_t *cdb, uint8_t *data)
{
	switch (cdb[0]) {
	case INQUIRY:
		return fill_inquiry(cdb, data);
	case REPORT_LUNS_OP:
		data[3] = 8;
		return 16;
	case READ_CAPACITY:
		data[2] = 7, data[3] = 0xff;
		data[6] = 2;
		return 8;
	case SERVICE_ACTION_IN_16:
		data[6] = 7, data[7] = 0xff;
		data[10] = 2;
		data[14] = 0x80;
		return 32;
	case MODE_SENSE:
		data[0] = 23;
		data[4] = 8, data[6] = 4;
		return 24;
	default:
		return 0;
	}
}

/* ---- answers --------------------------------------------------------------------- */

static uint32_t change_data(enum lie lie, uint8_t *data, uint32_t bytes)
{
	size_t place;

	if (lie == LIE_DATA) {
		bytes = (uint32_t)input_take(device.answers, 1);
		input_copy(device.answers, data, bytes);
	} else if (lie == LIE_BITS) {
		place = input_take(device.answers, 2) % (DATA_BYTES - 4);
		for (size_t i = 0; i < 4; i++)
			data[place + i] ^= (uint8_t)input_take(device.answers, 1);
		bytes = bytes > place + 4 ? bytes : (uint32_t)place + 4;
	}
	return bytes;
}

static void fill_response(struct virtio_scsi_cmd_resp *response, enum lie lie)
{
	memset(response, 0, sizeof(*response));
	if (lie == LIE_SENSE) {
		response->status = 2;
		response->sense_len = (uint32_t)input_take(device.answers, 1);
		input_copy(device.answers, response->sense,
			   response->sense_len % sizeof(response->sense));
	} else if (lie == LIE_RESPONSE) {
		input_copy(device.answers, response, 12);
	}
}

/* The first segment is the response, and the others are for data. */
static uint32_t answer_scsi(const struct parts *parts, enum lie lie)
{
	const struct virtio_scsi_cmd_req *request = (const void *)parts->request;
	uint8_t data[DATA_BYTES] = { 0 };
	struct virtio_scsi_cmd_resp response;
	uint32_t bytes;

	fill_response(&response, lie);
	if (!response.response && request->lun[1])
		response.response = VIRTIO_SCSI_S_BAD_TARGET;
	bytes = change_data(lie, data, fill_data(request->cdb, data));
	if (!response.response)
		bytes = put(parts, 1, parts->num_in, data, bytes);
	return bytes + put(parts, 0, 1, (const uint8_t *)&response, sizeof(response));
}

/* The last byte is the status. */
static uint32_t answer_blk(const struct parts *parts, enum lie lie)
{
	uint8_t data[DATA_BYTES] = "fuzz", status = 0;
	uint32_t bytes = change_data(lie, data, 20);

	if (lie == LIE_RESPONSE)
		status = (uint8_t)input_take(device.answers, 1);
	put(parts, 0, parts->num_in - 1, data, bytes);
	return put(parts, parts->num_in - 1, parts->num_in, &status, 1);
}

static uint32_t answer_control(const struct parts *parts, enum lie lie)
{
	uint8_t response = lie == LIE_NONE ? 0 : (uint8_t)input_take(device.answers, 1);

	return put(parts, 0, 1, &response, 1);
}

static uint32_t answer(const struct parts *parts, bool is_control, enum lie lie)
{
	if (is_control)
		return answer_control(parts, lie);
	return device.is_scsi ? answer_scsi(parts, lie) : answer_blk(parts, lie);
}

static void complete(struct ring *ring, uint16_t head, uint32_t bytes, enum lie lie)
{
	struct vring_used_elem *element = &ring->used->ring[ring->used->idx % ring->size];
	uint16_t step = 1;

	element->id = head;
	element->len = bytes;
	if (lie == LIE_ELEMENT)
		input_copy(device.answers, element, sizeof(*element));
	if (lie == LIE_INDEX)
		step = (uint16_t)input_take(device.answers, 2);
	ring->used->idx = (uint16_t)(ring->used->idx + step);
}

static void serve(struct ring *ring, uint16_t head, bool is_control)
{
	unsigned int lie = LIE_NONE;
	struct parts parts;
	uint32_t bytes;

	if (device.answers)
		lie = (unsigned int)input_take(device.answers, 1) % LIES;
	if (lie == LIE_SILENCE)
		return;
	read_chain(ring, head, &parts);
	if (!parts.num_in)
		return;
	bytes = answer(&parts, is_control, lie);
	complete(ring, head, bytes, lie);
}

bool peer_rings_serve(void)
{
	bool was_offered = false;

	for (unsigned int i = 0; i < QUEUES; i++) {
		struct ring *ring = &device.rings[i];

		while (ring->avail && ring->taken != ring->avail->idx) {
			serve(ring, ring->avail->ring[ring->taken++ % ring->size],
			      device.is_scsi && i == 0);
			was_offered = true;
		}
	}
	return was_offered;
}
