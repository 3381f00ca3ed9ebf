/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk that lies when it is found and described, in answers to commands and requests. */
#include "device_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	device_run(&input, LIES_IN_ANSWERS);
	return 0;
}
