/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI commands that describe a disk: INQUIRY with its vital product data,
 * REPORT LUNS, READ CAPACITY, MODE SENSE. Each worker enters it with one
 * command. It changes no shared state.
 */
#include <stddef.h>
#include <stdio.h>

#include "scsi/scsi.h"

enum {
	VPD_BYTES_MAX = 256,
	VPD_HEADER_BYTES = 4,
	EVPD = 0x01,		     /* INQUIRY, byte 1 */
	NO_SUCH_LUN_QUALIFIER = 0x7f, /* SPC-4, 6.6.2: not supported */
	WRITE_PROTECTED = 0x80,	     /* MODE SENSE, device-specific */
	DPOFUA = 0x10,
	PAGE_CACHING = 0x08,
	PAGE_CONTROL = 0x0a,
	PAGE_ALL = 0x3f,
};

/* Text fields are padded with spaces and have no terminating NUL. */
static void put_text(uint8_t *to, size_t room, const char *text)
{
	size_t length = strlen(text);

	memset(to, ' ', room);
	memcpy(to, text, length < room ? length : room);
}

static bool reads_zeroes_after_unmap(const struct scsi_command *command)
{
	const struct storage *storage = command->disk->storage;

	/* Null storage keeps no data. */
	return storage->fd >= 0 || storage->map;
}

static void reject_field(struct scsi_command *command)
{
	scsi_check(command, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

/* ---- INQUIRY: SPC-4, 6.6 and 7.8; SBC-3, 6.6 ----------------------------- */

static unsigned int vpd_supported(const struct scsi_command *command,
				  uint8_t *page)
{
	static const uint8_t pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };

	(void)command;
	memcpy(page, pages, sizeof(pages));
	return sizeof(pages);
}

static unsigned int vpd_serial(const struct scsi_command *command,
			       uint8_t *page)
{
	return snprintf((char *)page, VPD_BYTES_MAX - VPD_HEADER_BYTES,
			"pyfio-%u-%u", command->target, command->lun);
}

/* 7.8.6: two designators, the vendor and serial number in ASCII and a locally
 * assigned NAA number. */
static unsigned int vpd_identification(const struct scsi_command *command,
				       uint8_t *page)
{
	enum { HEADER = 4, VENDOR = 8, NAA = 8 };
	uint8_t *naa;
	unsigned int name;

	put_text(page + HEADER, VENDOR, "PYFIO");
	name = vpd_serial(command, page + HEADER + VENDOR);
	page[0] = 0x02; /* ASCII */
	page[1] = 0x01; /* of the unit, T10 vendor identification */
	page[3] = VENDOR + name;
	naa = page + HEADER + VENDOR + name;
	naa[0] = 0x01; /* binary */
	naa[1] = 0x03; /* of the unit, NAA */
	naa[3] = NAA;
	put_be64(naa + HEADER, UINT64_C(3) << 60 | UINT64_C(0x70796669) << 16 |
				       command->target << 8 | command->lun);
	return naa + HEADER + NAA - page;
}

static unsigned int vpd_block_limits(const struct scsi_command *command,
				     uint8_t *page)
{
	const struct device *device = command->session->device;
	const uint32_t sectors_of_block =
		command->disk->block_bytes / SECTOR_BYTES;

	/* The offsets are those of the standard minus the page's header. */
	put_be32(page + 16, device->discard_sectors_max / sectors_of_block);
	put_be32(page + 20, device->discard_segments_max);
	put_be32(page + 24, 1); /* optimal granularity: any block */
	return 0x3c;
}

static unsigned int vpd_characteristics(const struct scsi_command *command,
					uint8_t *page)
{
	(void)command;
	put_be16(page, 1); /* it does not rotate */
	return 0x3c;
}

static unsigned int vpd_provisioning(const struct scsi_command *command,
				     uint8_t *page)
{
	page[1] = 0x80; /* LBPU: UNMAP is supported */
	if (reads_zeroes_after_unmap(command))
		page[1] |= 0x04; /* LBPRZ */
	page[2] = 0x02; /* thin */
	return 4;
}

static void inquire_vpd(struct scsi_command *command, size_t most)
{
	static unsigned int (*const fill[256])(const struct scsi_command *,
					       uint8_t *) = {
		[0x00] = vpd_supported,	   [0x80] = vpd_serial,
		[0x83] = vpd_identification, [0xb0] = vpd_block_limits,
		[0xb1] = vpd_characteristics, [0xb2] = vpd_provisioning,
	};
	uint8_t code = command->cdb[2];
	uint8_t page[VPD_BYTES_MAX] = { 0, code };
	unsigned int bytes;

	if (!fill[code] || !command->disk) {
		reject_field(command);
		return;
	}
	bytes = fill[code](command, page + VPD_HEADER_BYTES);
	put_be16(page + 2, bytes);
	scsi_return(command, page, VPD_HEADER_BYTES + bytes, most);
}

static void inquire_standard(struct scsi_command *command, size_t most)
{
	uint8_t data[36] = {
		[0] = command->disk ? 0x00 : NO_SUCH_LUN_QUALIFIER,
		[2] = 0x06, /* SPC-4 */
		[3] = 0x12, /* HISUP, format 2 */
		[4] = sizeof(data) - 5,
		[7] = 0x02, /* CMDQUE */
	};

	put_text(data + 8, 8, "PYFIO");
	put_text(data + 16, 16, "VIRTIO DISK");
	put_text(data + 32, 4, "1");
	scsi_return(command, data, sizeof(data), most);
}

void scsi_inquiry(struct scsi_command *command)
{
	size_t most = get_be16(command->cdb + 3);

	if (command->cdb[1] & EVPD)
		inquire_vpd(command, most);
	else if (command->cdb[2])
		reject_field(command);
	else
		inquire_standard(command, most);
}

/* ---- REPORT LUNS: SPC-4, 6.33 ------------------------------------------- */

void scsi_report_luns(struct scsi_command *command)
{
	uint8_t list[8 + 8 * DEVICE_LUNS_MAX] = { 0 };
	unsigned int count = command->session->device->lun_count, lun;
	uint32_t most = get_be32(command->cdb + 6);

	if (most < 16) {
		reject_field(command);
		return;
	}
	put_be32(list, 8 * count);
	for (lun = 0; lun < count; lun++)
		list[8 + 8 * lun + 1] = lun; /* SAM-5, 4.6.7: peripheral */
	scsi_return(command, list, 8 + 8 * count, most);
}

/* ---- READ CAPACITY: SBC-3, 5.15 and 5.16 --------------------------------- */

static uint64_t last_lba(const struct scsi_command *command)
{
	return command->disk->bytes / command->disk->block_bytes - 1;
}

void scsi_read_capacity_10(struct scsi_command *command)
{
	uint64_t last = last_lba(command);
	uint8_t data[8];

	/* All ones mean that READ CAPACITY (16) is needed. */
	put_be32(data, last > UINT32_MAX ? UINT32_MAX : last);
	put_be32(data + 4, command->disk->block_bytes);
	scsi_return(command, data, sizeof(data), sizeof(data));
}

void scsi_read_capacity_16(struct scsi_command *command)
{
	uint8_t data[32] = { 0 };

	put_be64(data, last_lba(command));
	put_be32(data + 8, command->disk->block_bytes);
	data[14] = 0x80; /* LBPME: thin */
	if (reads_zeroes_after_unmap(command))
		data[14] |= 0x40; /* LBPRZ */
	scsi_return(command, data, sizeof(data), get_be32(command->cdb + 10));
}

/* ---- MODE SENSE: SPC-4, 6.11 and 7.5 ------------------------------------- */

/* Page control 1 asks what can be changed. Nothing can, so all bits are 0. */
static unsigned int put_caching_page(uint8_t *page, bool changeable)
{
	page[0] = PAGE_CACHING;
	page[1] = 18;
	page[2] = changeable ? 0 : 0x04; /* WCE */
	return 20;
}

static unsigned int put_control_page(uint8_t *page, bool changeable)
{
	page[0] = PAGE_CONTROL;
	page[1] = 10;
	page[3] = changeable ? 0 : 0x10; /* commands may be reordered */
	return 12;
}

/* Writes the pages that the CDB asks for. Returns their length in bytes, or 0
 * if there is no such page. */
static unsigned int put_pages(const struct scsi_command *command,
			      uint8_t *pages)
{
	unsigned int code = command->cdb[2] & 0x3f, bytes = 0;
	bool changeable = command->cdb[2] >> 6 == 1;

	if (command->cdb[3] && command->cdb[3] != 0xff) /* subpage */
		return 0;
	if (code == PAGE_CACHING || code == PAGE_ALL)
		bytes += put_caching_page(pages + bytes, changeable);
	if (code == PAGE_CONTROL || code == PAGE_ALL)
		bytes += put_control_page(pages + bytes, changeable);
	return bytes;
}

static void mode_sense(struct scsi_command *command, unsigned int header_bytes,
		       size_t most)
{
	uint8_t data[64] = { 0 };
	uint8_t specific = DPOFUA | (command->disk->read_only ? WRITE_PROTECTED : 0);
	unsigned int bytes;

	if (command->cdb[2] >> 6 == 3) {
		scsi_check(command, SENSE_ILLEGAL_REQUEST,
			   ASC_SAVING_NOT_SUPPORTED);
		return;
	}
	bytes = put_pages(command, data + header_bytes);
	if (!bytes) {
		reject_field(command);
		return;
	}
	bytes += header_bytes;
	if (header_bytes == 4) {
		data[0] = bytes - 1;
		data[2] = specific;
	} else {
		put_be16(data, bytes - 2);
		data[3] = specific;
	}
	scsi_return(command, data, bytes, most);
}

void scsi_mode_sense_6(struct scsi_command *command)
{
	mode_sense(command, 4, command->cdb[4]);
}

void scsi_mode_sense_10(struct scsi_command *command)
{
	mode_sense(command, 8, get_be16(command->cdb + 7));
}
