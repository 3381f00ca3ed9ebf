/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells of data that cannot be had. Any worker.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "storage/storage.h"

int storage_failed(struct storage *storage, const char *what, uint64_t offset,
		   int code)
{
	/* Bad addresses are the client's. */
	if (code != -EFAULT && !__atomic_exchange_n(&storage->failure_told, true,
						    __ATOMIC_RELAXED))
		log_line(storage->log_fd,
			 "storage: %s at byte %" PRIu64
			 ": %s (further failures are not told)",
			 what, offset, strerror(-code));
	return code;
}
