/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the function for a CDB, and handles missing LUNs and unit attentions
 * for all commands. Each worker enters it with one command.
 */
#include <stddef.h>

#include "scsi/scsi.h"

/* SPC-4 and SBC-3. */
enum {
	OP_TEST_UNIT_READY = 0x00,
	OP_REQUEST_SENSE = 0x03,
	OP_READ_6 = 0x08,
	OP_WRITE_6 = 0x0a,
	OP_INQUIRY = 0x12,
	OP_MODE_SENSE_6 = 0x1a,
	OP_START_STOP_UNIT = 0x1b,
	OP_PREVENT_ALLOW = 0x1e,
	OP_READ_CAPACITY_10 = 0x25,
	OP_READ_10 = 0x28,
	OP_WRITE_10 = 0x2a,
	OP_SYNCHRONIZE_10 = 0x35,
	OP_UNMAP = 0x42,
	OP_MODE_SENSE_10 = 0x5a,
	OP_READ_16 = 0x88,
	OP_WRITE_16 = 0x8a,
	OP_SYNCHRONIZE_16 = 0x91,
	OP_SERVICE_ACTION_IN_16 = 0x9e,
	OP_REPORT_LUNS = 0xa0,
	OP_READ_12 = 0xa8,
	OP_WRITE_12 = 0xaa,
	SERVICE_READ_CAPACITY_16 = 0x10,
};

static void do_nothing(struct scsi_command *command)
{
	(void)command;
}

static uint16_t take_attention(struct scsi_command *command)
{
	uint16_t *attention =
		&command->session->attention[command->disk->number];

	/* It is rarely set, so a plain read comes first. */
	if (likely(!shared_read(attention)))
		return 0;
	return __atomic_exchange_n(attention, 0, __ATOMIC_RELAXED);
}

/* SPC-4, 6.39: reports the pending unit attention, which clears it. */
static void request_sense(struct scsi_command *command)
{
	uint8_t sense[SENSE_BYTES];
	uint16_t attention = command->disk ? take_attention(command) : 0;

	if (!command->disk)
		scsi_fill_sense(sense, SENSE_ILLEGAL_REQUEST, ASC_NO_SUCH_LUN);
	else if (attention)
		scsi_fill_sense(sense, SENSE_UNIT_ATTENTION, attention);
	else
		scsi_fill_sense(sense, SENSE_NO_SENSE, ASC_NONE);
	scsi_return(command, sense, sizeof(sense), command->cdb[4]);
}

static void service_action_in(struct scsi_command *command)
{
	if ((command->cdb[1] & 0x1f) == SERVICE_READ_CAPACITY_16)
		scsi_read_capacity_16(command);
	else
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_INVALID_FIELD_IN_CDB);
}

struct opcode {
	void (*execute)(struct scsi_command *command);
	enum operation_kind kind;
	/* SAM-5, 5.14: it is carried out even if there is no such LUN or if a
	 * unit attention is pending. */
	bool always;
};

static const struct opcode opcodes[256] = {
	[OP_TEST_UNIT_READY] = { do_nothing, OPERATION_COMMAND, false },
	[OP_REQUEST_SENSE] = { request_sense, OPERATION_COMMAND, true },
	[OP_READ_6] = { scsi_read, OPERATION_READ, false },
	[OP_WRITE_6] = { scsi_write, OPERATION_WRITE, false },
	[OP_INQUIRY] = { scsi_inquiry, OPERATION_COMMAND, true },
	[OP_MODE_SENSE_6] = { scsi_mode_sense_6, OPERATION_COMMAND, false },
	[OP_START_STOP_UNIT] = { do_nothing, OPERATION_COMMAND, false },
	[OP_PREVENT_ALLOW] = { do_nothing, OPERATION_COMMAND, false },
	[OP_READ_CAPACITY_10] = { scsi_read_capacity_10, OPERATION_COMMAND,
				  false },
	[OP_READ_10] = { scsi_read, OPERATION_READ, false },
	[OP_WRITE_10] = { scsi_write, OPERATION_WRITE, false },
	[OP_SYNCHRONIZE_10] = { scsi_synchronize, OPERATION_FLUSH, false },
	[OP_UNMAP] = { scsi_unmap, OPERATION_DISCARD, false },
	[OP_MODE_SENSE_10] = { scsi_mode_sense_10, OPERATION_COMMAND, false },
	[OP_READ_16] = { scsi_read, OPERATION_READ, false },
	[OP_WRITE_16] = { scsi_write, OPERATION_WRITE, false },
	[OP_SYNCHRONIZE_16] = { scsi_synchronize, OPERATION_FLUSH, false },
	[OP_SERVICE_ACTION_IN_16] = { service_action_in, OPERATION_COMMAND,
				      false },
	[OP_REPORT_LUNS] = { scsi_report_luns, OPERATION_COMMAND, true },
	[OP_READ_12] = { scsi_read, OPERATION_READ, false },
	[OP_WRITE_12] = { scsi_write, OPERATION_WRITE, false },
};

void scsi_execute(struct scsi_command *command)
{
	const struct opcode *opcode = &opcodes[command->cdb[0]];
	uint16_t attention;

	if (!opcode->always) {
		if (!command->disk) {
			scsi_check(command, SENSE_ILLEGAL_REQUEST,
				   ASC_NO_SUCH_LUN);
			return;
		}
		attention = take_attention(command);
		if (attention) {
			scsi_check(command, SENSE_UNIT_ATTENTION, attention);
			return;
		}
	}
	if (opcode->execute)
		opcode->execute(command);
	else
		scsi_check(command, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
}

void scsi_classify(const uint8_t *cdb, uint32_t block_bytes,
		   struct operation *what)
{
	const struct opcode *opcode = &opcodes[cdb[0]];
	uint64_t lba, blocks;

	what->kind = opcode->execute ? opcode->kind : OPERATION_UNKNOWN;
	if (what->kind != OPERATION_READ && what->kind != OPERATION_WRITE)
		return;
	scsi_parse_range(cdb, &lba, &blocks);
	what->sector = lba * (block_bytes / SECTOR_BYTES);
	what->data_bytes = blocks * block_bytes;
}
