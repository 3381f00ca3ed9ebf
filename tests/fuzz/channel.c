/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests that a back-end sends to the front-end on a socket of their own, in pieces. */
#include "descriptors.h"
#include "vhost/channel.h"

#define LARGEST_PIECE 64

/* Bytes that are too many for the socket are lost. */
static void put(int fd, struct input *input)
{
	size_t size = input_take(input, 1) % (LARGEST_PIECE + 1);
	uint8_t bytes[LARGEST_PIECE];

	input_copy(input, bytes, size);
	if (send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	unsigned int open_before = descriptor_count();
	struct vhost_channel channel;
	int theirs, result;

	if (vhost_channel_open(&channel, &theirs))
		abort();
	while (input.left) {
		put(theirs, &input);
		result = vhost_channel_read(&channel);
		require(result <= 1, "a configuration has changed, or it has not");
		require(!result || result == 1 || channel.is_broken,
			"a socket with a failure is not read again");
	}
	close(theirs);
	vhost_channel_read(&channel);
	vhost_channel_close(&channel);
	require(descriptors_become(open_before), "no descriptor stays open");
	return 0;
}
