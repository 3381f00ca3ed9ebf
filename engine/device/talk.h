/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI commands by which a disk is found and described, one at a time, waited for.
 * Part of device_open() and device_start(), in their thread.
 *
 * What comes back is bounded by the buffer and zero where nothing came. Its length
 * stands in the data itself: what a back-end says of parameter data beside it (the
 * residual) is not relied on.
 */
#ifndef TALK_H
#define TALK_H

#include <stddef.h>
#include <stdint.h>

#define TALK_BYTES 4096

struct device;
struct queue;

/* What one conversation with a controller needs. */
struct talk {
	struct device *dev;
	struct queue *queue;
	uint8_t *shared;      /* TALK_BYTES; the back-end may still write to them */
	uint8_t buffer[TALK_BYTES]; /* a copy of what the last command brought */
	uint64_t deadline_ns; /* of all of it */
	char refusal[256];    /* why the first disk that cannot be used cannot be */
};

/* What MODE SENSE brought; zeroes where it brought nothing. */
struct mode {
	uint8_t specific; /* device-specific parameter: bit 7 is write protection */
	uint8_t page;     /* the first page's code, and its first byte of flags */
	uint8_t flags;
};

static inline uint16_t get_be16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static inline uint32_t get_be32(const uint8_t *from)
{
	return (uint32_t)get_be16(from) << 16 | get_be16(from + 2);
}

static inline uint64_t get_be64(const uint8_t *from)
{
	return (uint64_t)get_be32(from) << 32 | get_be32(from + 4);
}

/* Sends cdb to the logical unit that dev->disk addresses; up to size bytes come back
 * into the buffer. 0, or a negative errno with a sentence. */
int talk_send(struct talk *talk, const uint8_t *cdb, size_t cdb_size, uint32_t size);
/* The standard data of INQUIRY. */
int talk_inquire(struct talk *talk);
/* A vital product data page: how many bytes of it came; 0: it is not there. */
int talk_read_page(struct talk *talk, uint8_t page);
/* A page of MODE SENSE, in whichever length of the command the disk knows. 0, or a
 * negative errno: it knows neither, or has no such page. */
int talk_read_mode(struct talk *talk, uint8_t page, struct mode *mode);

#endif
