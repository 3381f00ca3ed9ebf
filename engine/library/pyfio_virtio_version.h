/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The release of pyfio_virtio.h, and what it declares. The macro PYFIO_HAS_ with the
 * name of a function in capitals exists if the function does. A macro such as
 * PYFIO_RELEASE_0_1 stands for everything that this release brought.
 *
 * Structures. If the program was compiled with another release than that of the
 * library, this holds:
 *
 * - A smaller structure of an older header: the members that it lacks have their
 *   defaults, and the library writes nothing behind the structure.
 * - A larger structure of a newer header: it is accepted if all bytes that this
 *   library does not know are 0. Otherwise the call fails with -E2BIG, because the
 *   program asks for something that the library cannot do. In a structure that the
 *   library fills in, these bytes become 0.
 * - A struct_size that is 0 or no multiple of 8 is refused with -EINVAL, and one
 *   above 4096 with -E2BIG. The least size of struct pyfio_operation is that of
 *   release 0.1.
 */
#ifndef PYFIO_VIRTIO_VERSION_H
#define PYFIO_VIRTIO_VERSION_H

#define PYFIO_VERSION_MAJOR 0
#define PYFIO_VERSION_MINOR 1
#define PYFIO_VERSION_PATCH 0
/* One number that grows with each release. */
#define PYFIO_VERSION \
	(PYFIO_VERSION_MAJOR * 1000000 + PYFIO_VERSION_MINOR * 1000 + PYFIO_VERSION_PATCH)

#define PYFIO_RELEASE_0_1 1
#define PYFIO_HAS_VERSION 1
#define PYFIO_HAS_ERROR_MESSAGE 1
#define PYFIO_HAS_WAIT_NAME 1
#define PYFIO_HAS_WAIT_NAMED 1
#define PYFIO_HAS_DEVICE_OPEN 1
#define PYFIO_HAS_DEVICE_START 1
#define PYFIO_HAS_DEVICE_IDENTIFY 1
#define PYFIO_HAS_DEVICE_NUM_DISKS 1
#define PYFIO_HAS_DEVICE_GET_DISK 1
#define PYFIO_HAS_DEVICE_DESCRIBE 1
#define PYFIO_HAS_DEVICE_CLOSE 1
#define PYFIO_HAS_MEMORY_CREATE 1
#define PYFIO_HAS_MEMORY_KEEP 1
#define PYFIO_HAS_MEMORY_DESTROY 1
#define PYFIO_HAS_MEMORY_FREE 1
#define PYFIO_HAS_DEVICE_ALLOC 1
#define PYFIO_HAS_DEVICE_FREE 1
#define PYFIO_HAS_DEVICE_REGISTER_MEMORY 1
#define PYFIO_HAS_DEVICE_UNREGISTER_MEMORY 1
#define PYFIO_HAS_DEVICE_ATTACH 1
#define PYFIO_HAS_DEVICE_SHUTDOWN 1
#define PYFIO_HAS_DEVICE_DETACH 1
#define PYFIO_HAS_DEVICE_READ 1
#define PYFIO_HAS_DEVICE_WRITE 1
#define PYFIO_HAS_DEVICE_READV 1
#define PYFIO_HAS_DEVICE_WRITEV 1
#define PYFIO_HAS_DEVICE_FLUSH 1
#define PYFIO_HAS_DEVICE_DISCARD 1
#define PYFIO_HAS_DEVICE_WRITE_ZEROES 1
#define PYFIO_HAS_ASYNC_OPEN 1
#define PYFIO_HAS_ASYNC_SHUTDOWN 1
#define PYFIO_HAS_ASYNC_CLOSE 1
#define PYFIO_HAS_ASYNC_SUBMIT 1
#define PYFIO_HAS_ASYNC_SUBMIT_MANY 1
#define PYFIO_HAS_ASYNC_COMPLETED 1
#define PYFIO_HAS_ASYNC_COLLECT 1
#define PYFIO_HAS_ASYNC_GET_COMPLETED 1
#define PYFIO_HAS_ASYNC_GET_OVERDUE 1
#define PYFIO_HAS_ASYNC_CANCEL 1
#define PYFIO_HAS_ASYNC_FD 1

/* The first value of a structure: its size, and zeroes. */
#ifdef __cplusplus
template <typename T> inline T pyfio_initialised()
{
	T structure = T();

	structure.struct_size = sizeof(T);
	return structure;
}
#define PYFIO_INIT(name) pyfio_initialised<struct name>()
#else
#define PYFIO_INIT(name) { .struct_size = sizeof(struct name) }
#endif

#endif
