/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of the library; see base/remedies.h. */
#include "base/remedies.h"

struct remedies remedies = {
	.all_memory = "set memory_bytes to what all buffers need together",
	.less_memory = "lower memory_bytes or depth, or free some memory",
	.smaller_queue = "choose a smaller depth (in C also queue_size)",
	.as_root = "as root",
};
