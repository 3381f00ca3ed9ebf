/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages about shared memory: the memory regions, in a table or one by
 * one, and the record of requests in flight.
 *
 * No ring of the client runs while its memory changes. Only the control thread
 * enters it, while the workers are parked.
 */
#include "protocol/memory.h"

#include <errno.h>
#include <stddef.h>

#include "base/error.h"
#include "base/given_fd.h"
#include "protocol/ring.h"

/* Starts the rings again, whether or not the change succeeded. */
static int finish(struct connection *connection, int result)
{
	int resumed = protocol_resume_rings(connection);

	return result ? result : resumed;
}

/* ---- memory ------------------------------------------------------------- */

/* The number of memory slots that the profile announces is also the limit. */
static int check_slots(const struct connection *connection, unsigned int count)
{
	if (count > connection_profile(connection)->memory_slots)
		return error_record(-ENOSPC,
				    "%u memory regions: at most %u are allowed",
				    count,
				    connection_profile(connection)->memory_slots);
	return 0;
}

/* libvhost-user looks up the addresses of all rings whenever it gets memory. */
static int check_rings(const struct connection *connection)
{
	unsigned int i;

	if (!connection_profile(connection)->keeps_ring_addresses)
		return 0;
	for (i = 0; i < connection->ring_count; i++) {
		const struct ring *ring = &connection->rings[i];

		if (ring->has_addresses &&
		    !memory_from_user(&connection->memory, ring->descriptor_user, 1))
			return error_record(-EFAULT,
					    "ring %u lies outside of the new memory",
					    ring->index);
	}
	return 0;
}

static int add_region(struct connection *connection,
		      const struct vhost_user_region *region)
{
	int fd = connection_take_fd(connection);
	int result;

	if (fd < 0)
		return fd;
	result = memory_add(&connection->memory, region, fd);
	given_fd_close(fd);
	return result;
}

static int replace_memory(struct connection *connection,
			  const struct vhost_user_mem_table *table)
{
	unsigned int i;

	memory_clear(&connection->memory);
	for (i = 0; i < table->num_regions; i++) {
		int result = add_region(connection, &table->regions[i]);

		if (result)
			return result;
	}
	return check_rings(connection);
}

int protocol_set_mem_table(struct connection *connection,
			 struct vhost_user_message *message)
{
	/* A copy, because the fields of the message are packed. */
	struct vhost_user_mem_table table = message->payload.mem_table;
	size_t bytes = offsetof(struct vhost_user_mem_table, regions) +
		       (size_t)table.num_regions * sizeof(table.regions[0]);
	int result;

	if (table.num_regions > VHOST_USER_MAX_REGIONS ||
	    bytes > message->header.size)
		return error_record(-EINVAL, "memory table: %u regions in a payload "
				    "of %u bytes are not possible",
				    table.num_regions, message->header.size);
	result = check_slots(connection, table.num_regions);
	if (result)
		return result;
	protocol_halt_rings(connection);
	return finish(connection, replace_memory(connection, &table));
}

int protocol_get_max_mem_slots(struct connection *connection,
			     struct vhost_user_message *message)
{
	return message_reply_u64(message, connection_profile(connection)->memory_slots);
}

int protocol_add_mem_reg(struct connection *connection,
		       struct vhost_user_message *message)
{
	struct vhost_user_region region = message->payload.mem_region.region;
	int result = check_slots(connection, connection->memory.count + 1);

	if (result)
		return result;
	protocol_halt_rings(connection);
	result = add_region(connection, &region);
	return finish(connection, result ? result : check_rings(connection));
}

int protocol_rem_mem_reg(struct connection *connection,
		       struct vhost_user_message *message)
{
	struct vhost_user_region region = message->payload.mem_region.region;

	protocol_halt_rings(connection);
	return finish(connection,
		      memory_remove(&connection->memory, &region));
}

/* ---- requests in flight ------------------------------------------------- */

int protocol_get_inflight_fd(struct connection *connection,
			   struct vhost_user_message *message)
{
	struct vhost_user_inflight *wanted = &message->payload.inflight;
	int fd;

	if (!wanted->num_queues || wanted->num_queues > connection->ring_count ||
	    !wanted->queue_size || wanted->queue_size > RING_SIZE_MAX)
		return error_record(-EINVAL,
				    "inflight memory: %u queues of %u "
				    "descriptors are not possible",
				    wanted->num_queues, wanted->queue_size);
	protocol_halt_rings(connection);
	fd = inflight_create(&connection->inflight, wanted->num_queues,
			     wanted->queue_size);
	if (fd < 0)
		return fd;
	wanted->mmap_size = inflight_bytes(wanted->num_queues,
					   wanted->queue_size);
	wanted->mmap_offset = 0;
	/* The reply is as long as the request, with padding or without it. */
	if (message->header.size > sizeof(*wanted))
		message->header.size = sizeof(*wanted);
	connection->reply_fd = fd;
	return protocol_resume_rings(connection);
}

int protocol_set_inflight_fd(struct connection *connection,
			   struct vhost_user_message *message)
{
	const struct vhost_user_inflight given = message->payload.inflight;
	int fd = connection_take_fd(connection);
	int result;

	if (fd < 0)
		return fd;
	protocol_halt_rings(connection);
	result = inflight_map(&connection->inflight, fd, given.mmap_offset,
			      given.mmap_size, given.num_queues,
			      given.queue_size);
	given_fd_close(fd);
	return finish(connection, result);
}
