/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One SCSI command, as the files of this room pass it to each other. scsi.c
 * reads it from the virtqueue and writes its response, command.c dispatches it,
 * block.c moves data, describe.c describes the disk, and task.c manages tasks.
 * They use address.c, which finds the disk, and result.c, which ends a command.
 *
 * A command is on a worker's stack while its request is served.
 */
#ifndef BACKEND_SCSI_H
#define BACKEND_SCSI_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "device/device.h"

extern const struct device_ops scsi_ops;

/* SAM-5, 5.3.1. */
enum {
	SCSI_GOOD = 0x00,
	SCSI_CHECK_CONDITION = 0x02,
	SCSI_BUSY = 0x08,
	SCSI_TASK_SET_FULL = 0x28,
};

/* SPC-4, 4.5.6: sense keys. */
enum {
	SENSE_NO_SENSE = 0x0,
	SENSE_RECOVERED_ERROR = 0x1,
	SENSE_MEDIUM_ERROR = 0x3,
	SENSE_ILLEGAL_REQUEST = 0x5,
	SENSE_UNIT_ATTENTION = 0x6,
	SENSE_DATA_PROTECT = 0x7,
};

/* SPC-4, annex F: ASC << 8 | ASCQ. */
enum {
	ASC_NONE = 0x0000,
	ASC_WRITE_ERROR = 0x0c00,
	ASC_READ_ERROR = 0x1100,
	ASC_RECOVERED_DATA = 0x1700,
	ASC_PARAMETER_LIST_LENGTH = 0x1a00,
	ASC_INVALID_OPCODE = 0x2000,
	ASC_LBA_OUT_OF_RANGE = 0x2100,
	ASC_INVALID_FIELD_IN_CDB = 0x2400,
	ASC_NO_SUCH_LUN = 0x2500,
	ASC_INVALID_FIELD_IN_PARAMETERS = 0x2600,
	ASC_WRITE_PROTECTED = 0x2700,
	ASC_POWER_ON = 0x2900,
	ASC_LUN_RESET = 0x2903,
	ASC_CAPACITY_CHANGED = 0x2a09,
	ASC_SAVING_NOT_SUPPORTED = 0x3900,
};

/* SPC-4, 4.5.3: fixed format. */
enum { SENSE_BYTES = 18, SENSE_BYTES_MAX = 252 };

/* The smallest and largest CDB size that a driver may configure. No command
 * uses more than the first 16 bytes. */
enum { CDB_BYTES_MIN = 16, CDB_BYTES_MAX = 255 };
/* SBC-3, 5.28.2: the parameter list of UNMAP. */
enum { UNMAP_HEADER_BYTES = 8, UNMAP_RANGE_BYTES = 16 };

struct scsi_command {
	struct session *session;
	struct disk *disk; /* NULL: the target has no such LUN */
	unsigned int target, lun;
	uint8_t cdb[CDB_BYTES_MAX + 1];
	struct span *out, *in; /* data */
	struct operation *what;

	uint8_t response; /* VIRTIO_SCSI_S_* */
	uint8_t status;
	uint8_t sense_key;
	uint16_t asc;
	uint64_t moved_bytes; /* of data, in either direction */
};

/* Fields of CDBs and parameters are big-endian. */
static inline uint32_t get_be16(const uint8_t *from)
{
	return from[0] << 8 | from[1];
}

static inline uint32_t get_be24(const uint8_t *from)
{
	return from[0] << 16 | from[1] << 8 | from[2];
}

static inline uint32_t get_be32(const uint8_t *from)
{
	return (uint32_t)get_be16(from) << 16 | get_be16(from + 2);
}

static inline uint64_t get_be64(const uint8_t *from)
{
	return (uint64_t)get_be32(from) << 32 | get_be32(from + 4);
}

static inline void put_be16(uint8_t *to, uint16_t value)
{
	value = htobe16(value);
	memcpy(to, &value, sizeof(value));
}

static inline void put_be32(uint8_t *to, uint32_t value)
{
	value = htobe32(value);
	memcpy(to, &value, sizeof(value));
}

static inline void put_be64(uint8_t *to, uint64_t value)
{
	value = htobe64(value);
	memcpy(to, &value, sizeof(value));
}

/* result.c */

/* Gives the command the status CHECK CONDITION and its sense data. */
void scsi_check(struct scsi_command *command, uint8_t key, uint16_t asc);
/* Returns data to the driver, at most `most` bytes (the allocation length). */
void scsi_return(struct scsi_command *command, const void *data, size_t bytes,
		 size_t most);
/* Fills in sense data in fixed format. */
void scsi_fill_sense(uint8_t sense[SENSE_BYTES], uint8_t key, uint16_t asc);

/* command.c */
void scsi_execute(struct scsi_command *command);
/* Finds the kind of a CDB and, for reads and writes, its sector and length. */
void scsi_classify(const uint8_t *cdb, uint32_t block_bytes,
		   struct operation *what);

/* block.c */
void scsi_read(struct scsi_command *command);
void scsi_write(struct scsi_command *command);
void scsi_synchronize(struct scsi_command *command);
void scsi_unmap(struct scsi_command *command);
/* Turns the errno of a disk access into sense data. */
void scsi_check_result(struct scsi_command *command, int result,
		       uint16_t medium_asc);
/* Reads the range of a READ, WRITE or SYNCHRONIZE CACHE of any length. */
void scsi_parse_range(const uint8_t *cdb, uint64_t *lba, uint64_t *blocks);

/* describe.c */
void scsi_inquiry(struct scsi_command *command);
void scsi_report_luns(struct scsi_command *command);
void scsi_read_capacity_10(struct scsi_command *command);
void scsi_read_capacity_16(struct scsi_command *command);
void scsi_mode_sense_6(struct scsi_command *command);
void scsi_mode_sense_10(struct scsi_command *command);

/* task.c: serves a request of the control queue. */
void scsi_task_serve(struct session *session, struct chain *chain,
		     struct operation *what);

/* address.c */

/* Virtio 1.2, 5.6.6.1: byte 0 is 1, byte 1 the target, bytes 2 and 3 the LUN.
 * Returns a VIRTIO_SCSI_S_* code. */
int scsi_find_lun(const struct device *device, const uint8_t address[8],
		  unsigned int *target, unsigned int *lun);
/* Returns NULL if the target has no such LUN. */
struct disk *scsi_find_disk(struct device *device, unsigned int target,
			    unsigned int lun);

/* Task management compares these keys. */
static inline uint32_t scsi_lun_key(unsigned int target, unsigned int lun)
{
	return target << 16 | lun;
}

#endif
