/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run of a device; see device_run.h. */
#include "device_run.h"

#include "clock_stub.h"
#include "descriptors.h"
#include "device/device.h"
#include "device/execute_one.h"
#include "peer.h"

#define BUFFER_BYTES 8192

static struct device_config make_config(struct input *input)
{
	unsigned int choices = (unsigned int)input_take(input, 1);
	unsigned int numbers = (unsigned int)input_take(input, 1);
	static const int types[] = { DEVICE_AUTO, DEVICE_AUTO, DEVICE_BLK, DEVICE_SCSI };

	return (struct device_config){
		.socket = "peer",
		.type = types[choices & 3],
		.indirect = choices & 4 ? CHOICE_OFF : CHOICE_AUTO,
		.event_idx = choices & 8 ? CHOICE_OFF : CHOICE_AUTO,
		.hugepages = HUGEPAGES_OFF,
		.num_queues = 1 + (choices >> 4 & 1),
		.scsi_address_set = choices >> 5 & 1,
		.depth = 1 + (numbers & 3),
		.queue_size = numbers & 4 ? 4u << (numbers >> 3 & 7) : 0,
		.max_request_bytes = numbers & 64 ? 4096 : 1 << 20,
		.connect_timeout_ms = 5000,
	};
}

/* What comes back is right or an error, but it comes back once, and the buffer's
 * neighbours stay as they were. */
static void move_some(struct device *dev, struct queue *queue, uint8_t type)
{
	const size_t bytes = dev->disk.info.block_size;
	struct request *req = queue_get(queue);
	char *buffer = bytes <= BUFFER_BYTES ? device_alloc(dev, BUFFER_BYTES, 0) : NULL;

	if (buffer && req) {
		memset(buffer, 0x5a, BUFFER_BYTES);
		req->type = type;
		req->buffer = buffer;
		req->offset_bytes = 0;
		req->left_bytes = type == REQUEST_FLUSH ? 0 : bytes;
		execute(queue, req, dev->vu.fd, 1000);
		for (size_t i = bytes; i < BUFFER_BYTES; i++)
			require(buffer[i] == 0x5a, "nothing is written behind a buffer");
	} else if (req) {
		queue_put(queue, req);
	}
	/* An abandoned request may still be written to. */
	if (!queue->abandoned)
		device_free(dev, buffer);
}

static void use(struct device *dev)
{
	static const uint8_t types[] = { REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH,
					 REQUEST_DISCARD };
	struct queue *queue = device_claim_queue(dev);

	for (size_t i = 0; queue && i < sizeof(types); i++)
		move_some(dev, queue, types[i]);
	if (queue)
		device_release_queue(dev, queue);
	if (dev->disk.info.type == DEVICE_SCSI)
		device_reset_unit(dev);
}

static void check_info(const struct device *dev)
{
	struct disk_summary disks[2];
	struct device_info info;

	device_describe(dev, &info);
	device_list_disks(dev, disks, 2);
	require(info.block_size >= 512 && !(info.block_size & (info.block_size - 1)),
		"a block has a size that is possible");
	require(info.capacity_bytes <= DISK_MAX_BYTES, "a disk is not too large");
	require(memchr(info.id, 0, sizeof(info.id)) != NULL, "an id ends");
}

void device_run(struct input *input, unsigned int lies)
{
	unsigned int open_before = descriptor_count();
	bool is_scsi = input_take(input, 1) & 1;
	struct device_config config = make_config(input);
	struct device *dev;
	int code;

	time_begin();
	peer_begin(is_scsi, lies & LIES_IN_MESSAGES ? input : NULL,
		   lies & LIES_IN_ANSWERS ? input : NULL);
	code = device_open(&dev, &config);
	if (!code) {
		code = device_start(dev);
		if (!code) {
			device_identify(dev);
			check_info(dev);
			use(dev);
		}
		device_close(dev);
	}
	require(code <= 0, "a failure is a negative errno");
	require(!code || *error_message(), "a failure has a sentence");
	peer_end();
	require(descriptor_count() == open_before, "a device closes all that it opened");
}
