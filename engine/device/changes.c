/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes while a device is in use; see device/changes.h. */
#include "device/changes.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "device/device.h"
#include "disk/blk.h"

/* How long a back-end may take to show a configuration of which it has told. */
#define LONGEST_MS 1000u

int changes_listen(struct device *dev)
{
	int theirs = -1, code;

	if (!vhost_user_has_protocol(&dev->vu, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		return 0;
	changes_close(dev);
	code = vhost_channel_open(&dev->channel, &theirs);
	if (code)
		return code;
	code = vhost_user_set_backend_req_fd(&dev->vu, theirs);
	close(theirs);
	return code;
}

void changes_close(struct device *dev)
{
	vhost_channel_close(&dev->channel);
}

/* The capacity that the back-end tells now. A configuration of virtio-scsi has none. */
static int read_capacity(struct device *dev, uint64_t *bytes)
{
	struct device_info told = dev->disk.info;
	unsigned int timeout_ms = dev->config.connect_timeout_ms;
	char space[BLK_CONFIG_BYTES];
	int code;

	*bytes = dev->told_bytes;
	if (told.type != DEVICE_BLK)
		return 0;
	vhost_user_set_timeout(&dev->vu, timeout_ms < LONGEST_MS ? timeout_ms : LONGEST_MS);
	code = vhost_user_get_config(&dev->vu, space, sizeof(space));
	if (!code)
		code = blk_read_config(space, told.features, &told);
	if (!code)
		*bytes = told.capacity_bytes;
	return code;
}

static void tell(const struct device *dev)
{
	unsigned long long before = dev->disk.info.capacity_bytes, now = dev->told_bytes;

	if (now > before)
		error_set(EFBIG, "the disk grew from %llu to %llu bytes while it is in use: "
			  "it is used up to its former end", before, now);
	else if (now < before)
		error_set(EIO, "the disk shrank from %llu to %llu bytes while it is in use: "
			  "what lies beyond its end fails", before, now);
	else
		error_set(EIO, "the disk has its former size of %llu bytes again", now);
}

static bool note_capacity(struct device *dev)
{
	uint64_t most = dev->disk.info.capacity_bytes, bytes;

	if (read_capacity(dev, &bytes) || bytes == dev->told_bytes)
		return false;
	dev->told_bytes = bytes;
	disk_set_end(&dev->disk, bytes < most ? bytes : most);
	tell(dev);
	return true;
}

static bool notice(struct device *dev)
{
	int code = vhost_channel_read(&dev->channel);

	return code > 0 ? note_capacity(dev) : code < 0;
}

/* Another thread that has the lock sends a message, or does this. */
bool device_notice_changes(struct device *dev)
{
	const struct error_kept kept = error_keep();
	bool has_news;

	if (pthread_mutex_trylock(&dev->lock))
		return false;
	has_news = notice(dev);
	pthread_mutex_unlock(&dev->lock);
	if (!has_news)
		error_restore(&kept);
	return has_news;
}
