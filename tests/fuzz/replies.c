/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replies and configuration that lie, from the first message to the end of a device. */
#include "device_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	device_run(&input, LIES_IN_MESSAGES);
	return 0;
}
