/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells the back-end about the program's own regions; see device/share_memory.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/device.h"
#include "base/error.h"

static int check_pages(const void *address, size_t size_bytes,
		       uint64_t file_offset_bytes)
{
	uintptr_t bits = (uintptr_t)address | size_bytes | file_offset_bytes;

	if (size_bytes && !(bits & ((size_t)sysconf(_SC_PAGESIZE) - 1)) &&
	    size_bytes <= UINTPTR_MAX - (uintptr_t)address)
		return 0;
	return error_set(EINVAL, "memory of %zu bytes at offset %llu of its file is "
			 "not made of whole pages", size_bytes,
			 (unsigned long long)file_offset_bytes);
}

static int check_file(int fd, size_t size_bytes, uint64_t file_offset_bytes)
{
	struct stat file;

	if (!fstat(fd, &file) && (uint64_t)file.st_size >= size_bytes &&
	    (uint64_t)file.st_size - size_bytes >= file_offset_bytes)
		return 0;
	return error_set(EINVAL, "the file behind memory of %zu bytes is not that "
			 "long from offset %llu on", size_bytes,
			 (unsigned long long)file_offset_bytes);
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
	return (const char *)a < (const char *)b + b_bytes &&
	       (const char *)b < (const char *)a + a_bytes;
}

static int check_is_new(const struct device *dev, const void *address,
			size_t size_bytes)
{
	bool is_shared = foreign_overlaps(&dev->shared.foreign, address, size_bytes);

	for (unsigned int i = 0; i < memory_num_regions(dev->memory); i++) {
		const struct memory_region *region = &dev->memory->regions[i];

		is_shared |= overlap(address, size_bytes, region->address,
				     region->size_bytes);
	}
	if (is_shared)
		return error_set(EINVAL, "memory at %p is shared already", address);
	if (foreign_count(&dev->shared.foreign) == FOREIGN_MAX)
		return error_set(ENOSPC, "%s: no more than %u regions of the "
				 "program's own can be shared", dev->vu.path,
				 FOREIGN_MAX);
	return 0;
}

/* A back-end that comes back is told of the region again, when the program may have
 * closed its descriptor. */
static int keep_file(const struct device *dev, int fd, int *kept)
{
	if (!dev->config.reconnect_timeout_ms)
		return 0;
	*kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *kept >= 0 ? 0 : error_set(errno, "cannot keep the file of the memory: %s",
					  strerror(errno));
}

int share_foreign(struct device *dev, const void *address, size_t size_bytes, int fd,
		  uint64_t file_offset_bytes)
{
	struct vhost_user_region sent = share_as_sent(address, size_bytes,
						      file_offset_bytes);
	int code = check_pages(address, size_bytes, file_offset_bytes), kept = -1;

	if (!code)
		code = check_file(fd, size_bytes, file_offset_bytes);
	if (!code)
		code = check_is_new(dev, address, size_bytes);
	if (!code)
		code = share_check_takes(dev, 1);
	if (!code)
		code = keep_file(dev, fd, &kept);
	if (!code)
		code = vhost_user_add_mem_reg(&dev->vu, &sent, fd);
	if (!code)
		foreign_add(&dev->shared.foreign, address, size_bytes, file_offset_bytes,
			    kept);
	else if (kept >= 0)
		close(kept);
	return code;
}

static int tell_again(struct device *fresh, const struct foreign *foreign)
{
	struct vhost_user_region sent = share_as_sent(foreign->address,
						      foreign->size_bytes,
						      foreign->file_offset_bytes);

	if (share_takes_single_regions(fresh))
		return vhost_user_add_mem_reg(&fresh->vu, &sent, foreign->fd);
	return error_set(EOPNOTSUPP, "%s: the back-end cannot take memory of the program, "
			 "which its predecessor had", fresh->vu.path);
}

/* A region without a file is a former one of another start, and no ring uses it. One that
 * the former back-end did not confirm to have given up is lent again. */
int share_foreign_again(struct device *fresh, struct foreign_list *list)
{
	int code = 0;

	for (unsigned int i = 0; !code && i < FOREIGN_MAX; i++) {
		struct foreign *foreign = &list->entries[i];

		if (!foreign->size_bytes)
			continue;
		if (foreign->fd < 0) {
			if (foreign_begin_change(foreign))
				foreign_end_change(foreign, true);
			continue;
		}
		code = tell_again(fresh, foreign);
		if (!code)
			foreign_end_change(foreign, false);
	}
	return code;
}

static int tell_forget(struct device *dev, const struct foreign *foreign)
{
	struct vhost_user_region told = share_as_sent(foreign->address,
						      foreign->size_bytes,
						      foreign->file_offset_bytes);

	return vhost_user_rem_mem_reg(&dev->vu, &told);
}

int share_forget_foreign(struct device *dev, const void *address)
{
	struct foreign *foreign = foreign_find(&dev->shared.foreign, address);
	int code;

	if (!share_takes_single_regions(dev))
		return error_set(EOPNOTSUPP, "%s: the back-end cannot give up memory while "
				 "it runs: close the disk", dev->vu.path);
	if (!foreign)
		return error_set(EINVAL, "%s: no memory is registered that begins at %p",
				 dev->vu.path, address);
	if (!foreign_begin_change(foreign))
		return error_set(EBUSY, "%s: the back-end still has the memory at %p for an "
				 "operation: wait for the operation, or close the disk if "
				 "it was given up", dev->vu.path, address);
	code = tell_forget(dev, foreign);
	/* Without an answer, the back-end may have given it up later. So the entry stays
	 * as it is: nobody lends it, and data in this memory is copied. */
	if (!code || code == -EREMOTEIO || code == -ENOTCONN)
		foreign_end_change(foreign, !code);
	/* There is a free slot now. */
	if (!code)
		__atomic_store_n(&dev->shared.refused, 0, __ATOMIC_RELAXED);
	return code;
}
