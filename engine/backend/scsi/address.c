/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the disk of a request. Each worker enters it with one request.
 */
#include <linux/virtio_scsi.h>

#include "scsi/scsi.h"

int scsi_find_lun(const struct device *device, const uint8_t address[8],
		  unsigned int *target, unsigned int *lun)
{
	*target = address[1];
	*lun = (address[2] & 0x3f) << 8 | address[3];
	if (address[0] != 1 || *target >= device->target_count)
		return VIRTIO_SCSI_S_BAD_TARGET;
	/* SAM-5, 4.6.7: only the flat and peripheral formats, and one level. */
	if (address[2] & 0x80 || get_be32(address + 4))
		*lun = UINT16_MAX;
	return VIRTIO_SCSI_S_OK;
}

struct disk *scsi_find_disk(struct device *device, unsigned int target,
			    unsigned int lun)
{
	if (lun >= device->lun_count)
		return NULL;
	return &device->disks[target * device->lun_count + lun];
}
