/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The back-end's record of its requests in flight; see device/inflight.h. */
#include "device/inflight.h"

#include "base/unwanted_fds.h"
#include "device/device.h"

/* The record costs the back-end some work for each request, and only a device that
 * reconnects has a use for it. */
bool device_wants_inflight(const struct device *dev)
{
	return dev->config.reconnect_timeout_ms != 0;
}

/* One size counts for all queues. */
static uint16_t largest_size(const struct device *dev)
{
	uint16_t largest = 0;

	for (unsigned int i = 0; i < dev->num_open; i++)
		if (dev->queues[i].vq.shape.size > largest)
			largest = dev->queues[i].vq.shape.size;
	return largest;
}

static int ask_for_area(struct device *dev)
{
	struct inflight *inflight = &dev->inflight;

	inflight->area = (struct vhost_user_inflight){
		.num_queues = (uint16_t)dev->num_open,
		.queue_size = largest_size(dev),
	};
	return vhost_user_get_inflight_fd(&dev->vu, &inflight->area, &inflight->fd);
}

int inflight_give(struct device *dev)
{
	int code = 0;

	if (!vhost_user_has_protocol(&dev->vu, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return 0;
	if (dev->inflight.fd < 0)
		code = ask_for_area(dev);
	return code ? code : vhost_user_set_inflight_fd(&dev->vu, &dev->inflight.area,
							dev->inflight.fd);
}

void inflight_drop(struct device *dev)
{
	/* It is a file of the back-end's choice. */
	unwanted_fds_close(&dev->inflight.fd, dev->inflight.fd >= 0);
	dev->inflight.fd = -1;
}
