/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The functions of library/pyfio_virtio.h that attach a device, read and write, and
 * those for operations. Each calls the function of api.h. Any thread, as far as the
 * header allows it. Only other programs call this file.
 */
#include <errno.h>

#include "base/error.h"
#include "device/device.h"
#include "library/public.h"
#include "library/sized.h"

/* ---- attaching -------------------------------------------------------------------- */

static int convert_options(struct attach_options *options,
			   const struct pyfio_attach_options *theirs)
{
	struct pyfio_attach_options ours;
	int code = sized_take(&ours, theirs, sizeof(ours), "pyfio_attach_options");

	*options = (struct attach_options){
		.wait = ours.wait,
		.sleepy_poll_us = ours.sleepy_poll_us,
		.request_timeout_ms = ours.request_timeout_ms,
	};
	if (!code && ours.reserved)
		code = error_set(EINVAL, "reserved=%u: this member must be 0",
				 ours.reserved);
	return code;
}

int pyfio_device_attach(struct pyfio_device **dev,
			const struct pyfio_device_config *config,
			const struct pyfio_attach_options *options)
{
	struct device_config our_config;
	struct attach_options our_options;
	int code = public_is_missing(dev, "place for the device");

	if (code)
		return code;
	*dev = NULL;
	code = public_config(&our_config, config);
	if (!code)
		code = convert_options(&our_options, options);
	return code ? code :
		      device_attach((struct device **)dev, &our_config, &our_options);
}

void pyfio_device_shutdown(struct pyfio_device *dev)
{
	if (dev)
		device_shutdown((struct device *)dev);
}

void pyfio_device_detach(struct pyfio_device *dev)
{
	device_detach((struct device *)dev);
}

/* ---- calls that wait ---------------------------------------------------------------- */

static int refuse_unattached(const struct pyfio_device *dev)
{
	int code = public_is_missing(dev, "device");

	if (!code && !((const struct device *)dev)->blocking)
		code = error_set(EINVAL, "the device is not attached: use "
				 "pyfio_device_attach() instead of "
				 "pyfio_device_open()");
	return code;
}

int64_t pyfio_device_read(struct pyfio_device *dev, void *buffer, size_t size_bytes,
			  uint64_t offset_bytes)
{
	int code = refuse_unattached(dev);

	return code ? code : device_read((struct device *)dev, buffer, size_bytes,
					 offset_bytes);
}

int64_t pyfio_device_write(struct pyfio_device *dev, const void *buffer,
			   size_t size_bytes, uint64_t offset_bytes)
{
	int code = refuse_unattached(dev);

	return code ? code : device_write((struct device *)dev, buffer, size_bytes,
					  offset_bytes);
}

int64_t pyfio_device_readv(struct pyfio_device *dev, const struct iovec *iov,
			   unsigned int iov_count, uint64_t offset_bytes)
{
	int code = refuse_unattached(dev);

	return code ? code : device_readv((struct device *)dev, iov, iov_count,
					  offset_bytes);
}

int64_t pyfio_device_writev(struct pyfio_device *dev, const struct iovec *iov,
			    unsigned int iov_count, uint64_t offset_bytes)
{
	int code = refuse_unattached(dev);

	return code ? code : device_writev((struct device *)dev, iov, iov_count,
					   offset_bytes);
}

int pyfio_device_flush(struct pyfio_device *dev)
{
	int code = refuse_unattached(dev);

	return code ? code : device_flush((struct device *)dev);
}

int pyfio_device_discard(struct pyfio_device *dev, uint64_t offset_bytes,
			 uint64_t size_bytes)
{
	int code = refuse_unattached(dev);

	return code ? code : device_discard((struct device *)dev, offset_bytes,
					    size_bytes);
}

int pyfio_device_write_zeroes(struct pyfio_device *dev, uint64_t offset_bytes,
			      uint64_t size_bytes)
{
	int code = refuse_unattached(dev);

	return code ? code : device_write_zeroes((struct device *)dev, offset_bytes,
						 size_bytes);
}

/* ---- operations ----------------------------------------------------------------------- */

/*
 * A struct pyfio_operation is a struct operation, so nothing is copied or allocated for
 * it. An older program's operation may end before a member that a later release adds:
 * the engine must not read such a member unless struct_size covers it.
 */
#define SAME_PLACE(member)                                            \
	_Static_assert(offsetof(struct pyfio_operation, member) ==    \
		       offsetof(struct operation, member), "one layout")

SAME_PLACE(struct_size);
SAME_PLACE(type);
SAME_PLACE(flags);
SAME_PLACE(buffer);
SAME_PLACE(size_bytes);
SAME_PLACE(offset_bytes);
SAME_PLACE(user);
SAME_PLACE(result);
SAME_PLACE(iov);
SAME_PLACE(iov_count);
SAME_PLACE(reserved);
_Static_assert(sizeof(struct pyfio_operation) == sizeof(struct operation), "one layout");
_Static_assert((int)PYFIO_OPERATION_FLUSH == (int)OPERATION_FLUSH, "one numbering");
_Static_assert((int)PYFIO_OPERATION_FUA == (int)OPERATION_FUA, "one numbering");
_Static_assert((int)PYFIO_OPERATION_BARRIER == (int)OPERATION_BARRIER, "one numbering");

/* The size in release 0.1. */
#define LEAST_OPERATION_BYTES 72
_Static_assert(sizeof(struct pyfio_operation) >= LEAST_OPERATION_BYTES, "it only grows");

/* Usually the program was built with this header, and no other check is needed. */
static inline int check_operation(const struct pyfio_operation *op)
{
	int code;

	if (op && op->struct_size == sizeof(*op) && !op->reserved)
		return 0;
	code = sized_check(op, LEAST_OPERATION_BYTES, sizeof(*op), "pyfio_operation");
	if (!code && op->reserved)
		code = error_set(EINVAL, "reserved=%u: this member must be 0",
				 op->reserved);
	return code;
}

int pyfio_async_open(struct pyfio_async **async, struct pyfio_device *dev)
{
	int code = public_is_missing(async, "place for the async");

	if (code)
		return code;
	*async = NULL;
	code = refuse_unattached(dev);
	return code ? code : async_open((struct async **)async, (struct device *)dev);
}

void pyfio_async_shutdown(struct pyfio_async *async)
{
	if (async)
		async_shutdown((struct async *)async);
}

void pyfio_async_close(struct pyfio_async *async)
{
	async_close((struct async *)async);
}

int pyfio_async_submit(struct pyfio_async *async, struct pyfio_operation *op)
{
	int code = public_is_missing(async, "async");

	if (!code)
		code = check_operation(op);
	return code ? code : async_submit((struct async *)async,
					  (struct operation *)op);
}

int pyfio_async_submit_many(struct pyfio_async *async,
			    struct pyfio_operation *const *ops, unsigned int count)
{
	int begun, code = public_is_missing(async, "async");
	unsigned int good = 0;

	if (!code && count)
		code = public_is_missing(ops, "list of operations");
	if (code)
		return code;
	while (good < count && !check_operation(ops[good]))
		good++;
	begun = async_submit_many((struct async *)async, (struct operation *const *)ops,
				  good);
	if (begun < 0 || (unsigned int)begun < good || good == count)
		return begun;
	/* Its sentence again, because a refused operation before it would have another. */
	code = check_operation(ops[good]);
	return begun ? begun : code;
}

int pyfio_async_completed(struct pyfio_async *async, unsigned int min, int timeout_ms)
{
	int code = public_is_missing(async, "async");

	return code ? code : async_completed((struct async *)async, min, timeout_ms);
}

int pyfio_async_collect(struct pyfio_async *async, struct pyfio_operation **ops,
			unsigned int max)
{
	int code = public_is_missing(async, "async");

	if (!code && max)
		code = public_is_missing(ops, "room for operations");
	return code ? code : async_collect((struct async *)async,
					   (struct operation **)ops, max);
}

struct pyfio_operation *pyfio_async_get_completed(struct pyfio_async *async)
{
	if (!async)
		return NULL;
	return (struct pyfio_operation *)async_get_completed((struct async *)async);
}

struct pyfio_operation *pyfio_async_get_overdue(struct pyfio_async *async)
{
	if (!async)
		return NULL;
	return (struct pyfio_operation *)async_get_overdue((struct async *)async);
}

void pyfio_async_cancel(struct pyfio_async *async, struct pyfio_operation *op)
{
	if (async && op)
		async_cancel((struct async *)async, (struct operation *)op);
}

int pyfio_async_fd(struct pyfio_async *async)
{
	int code = public_is_missing(async, "async");

	return code ? code : async_fd((struct async *)async);
}
