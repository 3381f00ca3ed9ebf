/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reports failed accesses to the storage. Any worker may enter it.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "storage/storage.h"

int storage_failed(struct storage *storage, const char *what, uint64_t offset,
		   int code)
{
	/* EFAULT means that the client's memory is gone, not the data. */
	if (code != -EFAULT && !__atomic_exchange_n(&storage->failure_logged, true,
						    __ATOMIC_RELAXED))
		log_line(storage->log_fd,
			 "storage: %s at byte %" PRIu64
			 ": %s (further failures are not logged)",
			 what, offset, strerror(-code));
	return code;
}
