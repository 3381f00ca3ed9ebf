/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run of a device; see device_run.h. */
#include "device_run.h"

#include <errno.h>

#include "clock_stub.h"
#include "descriptors.h"
#include "device/changes.h"
#include "device/device.h"
#include "device/execute_one.h"
#include "peer.h"
#include "peer_rings.h"

#define BUFFER_BYTES 8192
#define REGION_BYTES (3u << 20)
#define MOST_TURNS 60
#define TURN_NS 100000000u

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

/* Requests that are in flight when the back-end hangs up. */
static unsigned int submit_some(struct device *dev, struct queue *queue, char *buffer)
{
	unsigned int count = 0;
	struct request *req = queue_get(queue);

	for (; req && count < 3; req = queue_get(queue)) {
		req->type = REQUEST_READ;
		req->user = dev;
		req->buffer = buffer;
		req->offset_bytes = 0;
		req->left_bytes = dev->disk.info.block_size;
		if (queue_submit(queue, req))
			break;
		count++;
	}
	if (req)
		queue_put(queue, req);
	queue_commit(queue);
	return count;
}

/* Returns how many came back of those that submit_some() submitted. A question for the ID may
 * have been left in flight, too. */
static unsigned int take_back(struct queue *queue)
{
	struct request *done[QUEUE_REAP_AT_ONCE];
	unsigned int count = queue_reap(queue, done, QUEUE_REAP_AT_ONCE), ours = 0;

	for (unsigned int i = 0; i < count; i++) {
		ours += done[i]->user != NULL;
		queue_put(queue, done[i]);
	}
	return ours;
}

/* Each request comes back, from the new connection or with an error. */
static void lose_connection(struct device *dev, struct queue *queue, bool is_served)
{
	char *buffer = device_alloc(dev, BUFFER_BYTES, 0);
	unsigned int left = buffer && dev->disk.info.block_size <= BUFFER_BYTES ?
			    submit_some(dev, queue, buffer) : 0;

	if (is_served)
		peer_rings_serve();
	peer_hang_up();
	for (unsigned int turn = 0; left && turn < MOST_TURNS; turn++) {
		int state = device_keep_connected(dev, queue);

		require(state >= 0 || *error_message(), "a failure has a sentence");
		if (state < 0 || turn == MOST_TURNS - 2)
			queue_abandon(queue, EIO);
		else if (state != CONNECTION_AWAY)
			peer_rings_serve();
		left -= take_back(queue);
		time_pass_ns(TURN_NS);
	}
	require(!left, "no request is lost");
	if (!queue->abandoned)
		device_free(dev, buffer);
}

static void use(struct device *dev, struct input *input)
{
	static const uint8_t types[] = { REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH,
					 REQUEST_DISCARD };
	struct queue *queue = device_claim_queue(dev);

	for (size_t i = 0; queue && i < sizeof(types); i++)
		move_some(dev, queue, types[i]);
	for (unsigned int i = 0; queue && dev->config.reconnect_timeout_ms && i < 2; i++)
		lose_connection(dev, queue, input_take(input, 1) & 1);
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

/* The device is closed if this fails. */
static int start_again(struct device *dev, const struct device_config *config)
{
	int code;

	device_stop(dev);
	code = device_reopen(dev, config);
	if (code)
		return code;
	code = device_start(dev);
	if (code)
		device_close(dev);
	return code;
}

static int run(struct input *input, const struct device_config *config, unsigned int kind)
{
	struct device *dev;
	int code = device_open(&dev, config);

	if (code)
		return code;
	code = device_start(dev);
	if (!code) {
		device_identify(dev);
		check_info(dev);
		/* More memory than there is, so that it is shared while the rings run. */
		if (kind & 4)
			device_free(dev, device_alloc(dev, REGION_BYTES, 0));
		peer_tell_change();
		device_notice_changes(dev);
		use(dev, input);
		if (kind & 8) {
			code = start_again(dev, config);
			if (code)
				return code;
		}
	}
	device_close(dev);
	return code;
}

void device_run(struct input *input, unsigned int lies)
{
	unsigned int open_before = descriptor_count();
	unsigned int kind = (unsigned int)input_take(input, 1);
	struct device_config config = make_config(input);
	int code;

	config.reconnect_timeout_ms = kind & 2 ? 3000 : 0;
	time_begin();
	peer_begin(kind & 1, lies & LIES_IN_MESSAGES ? input : NULL,
		   lies & LIES_IN_ANSWERS ? input : NULL);
	code = run(input, &config, kind);
	require(code <= 0, "a failure is a negative errno");
	require(!code || *error_message(), "a failure has a sentence");
	peer_end();
	require(descriptors_become(open_before), "a device closes all that it opened");
}
