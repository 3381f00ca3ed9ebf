/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages about rings, and the starts and stops of rings.
 *
 * A ring runs once it has a size, addresses in shared memory and a kick, and is
 * enabled. A message that changes one of these completes the held requests,
 * stops the ring, changes it, and starts it again if it still can run. Only the
 * control thread enters it, while the workers are parked.
 */
#include "protocol/ring.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <linux/virtio_ring.h>

#include "base/error.h"
#include "base/feature.h"
#include "base/given_fd.h"
#include "ring/trace.h"

/* The rings of one client are spread over the workers. With virtio-scsi all
 * have the same worker, because task management reads all of them. */
static struct worker *worker_of(const struct connection *connection,
				const struct ring *ring)
{
	struct workers *workers = connection->shared.workers;
	unsigned int number = connection->id;

	if (!connection->shared.device->ops->first_request_queue)
		number += ring->index;
	return &workers->list[number % workers->count];
}

/* Virtio 1.2, 5.6.2: its chains are event buffers, so no worker serves it. */
static bool is_event_queue(const struct connection *connection,
			   const struct ring *ring)
{
	return ring->index == connection->shared.device->ops->event_queue;
}

/* An earlier back-end may have ended before it called for what it published. */
static bool has_past(const struct ring *ring)
{
	return ring->used_index || ring->inflight;
}

/* The positions in a ring that had a past cannot be told. */
static void begin_trace(const struct connection *connection, struct ring *ring)
{
	const struct workers *workers = connection->shared.workers;

	if (workers->trace_path && !has_past(ring))
		ring->trace = trace_open(ring, workers->trace_every);
}

static void end_trace(const struct connection *connection, struct ring *ring)
{
	const struct workers *workers = connection->shared.workers;
	int result = trace_close(ring->trace, workers->trace_path, connection->id);

	ring->trace = NULL;
	if (result)
		log_line(workers->log_fd, "%s cannot be written: %s",
			 workers->trace_path, strerror(-result));
}

static void halt_ring(struct connection *connection, struct ring *ring)
{
	struct worker *worker = worker_of(connection, ring);

	if (!ring->running)
		return;
	if (!ring->broken)
		serve_drain(worker, ring);
	end_trace(connection, ring);
	worker_remove_ring(worker, ring);
	ring_stop(ring);
}

static bool can_run(const struct connection *connection,
		    const struct ring *ring)
{
	return !ring->running && !ring->broken && ring->size &&
	       ring->has_addresses && ring->has_kick && ring->enabled &&
	       connection->memory.count;
}

/* Imitates a back-end that reads early kicks and forgets them. */
static void forget_kicks(struct ring *ring)
{
	ring->dormant = true;
	/* There may be no kick to read. */
	ring_take_kick(ring);
}

static int run_ring(struct connection *connection, struct ring *ring)
{
	const uint64_t features = connection->session.features;
	int result;

	if (!can_run(connection, ring))
		return 0;
	ring->event_idx = has_feature(features, VIRTIO_RING_F_EVENT_IDX);
	ring->indirect = has_feature(features, VIRTIO_RING_F_INDIRECT_DESC);
	result = ring_start(ring, &connection->memory,
			    inflight_of_queue(&connection->inflight,
					      ring->index, ring->size));
	if (result)
		return result;
	if (connection_profile(connection)->loses_early_kicks && ring->kick_fd >= 0)
		forget_kicks(ring);
	if (is_event_queue(connection, ring))
		return 0;
	result = worker_add_ring(worker_of(connection, ring), ring,
				 &connection->session);
	if (result) {
		ring_stop(ring);
		return result;
	}
	if (has_past(ring))
		ring_call(ring);
	begin_trace(connection, ring);
	return 0;
}

void protocol_halt_rings(struct connection *connection)
{
	unsigned int i;

	for (i = 0; i < connection->ring_count; i++)
		halt_ring(connection, &connection->rings[i]);
}

int protocol_resume_rings(struct connection *connection)
{
	int result = 0;
	unsigned int i;

	for (i = 0; i < connection->ring_count; i++) {
		int started = run_ring(connection, &connection->rings[i]);

		result = result ? result : started;
	}
	return result;
}

void protocol_reset_rings(struct connection *connection)
{
	unsigned int i;

	protocol_halt_rings(connection);
	for (i = 0; i < connection->ring_count; i++)
		ring_close(&connection->rings[i]);
}

static struct ring *find_ring(struct connection *connection, uint64_t index)
{
	if (index < connection->ring_count)
		return &connection->rings[index];
	error_record(-EINVAL,
		     "ring %" PRIu64 " does not exist: there are %u rings",
		     index, connection->ring_count);
	return NULL;
}

/* ---- size, addresses, base, enable -------------------------------------- */

int protocol_set_vring_num(struct connection *connection,
			   struct vhost_user_message *message)
{
	uint32_t size = message->payload.state.num;
	struct ring *ring = find_ring(connection, message->payload.state.index);

	if (!ring)
		return -EINVAL;
	if (!size || size & (size - 1) ||
	    size > connection->shared.device->ring_size_max)
		return error_record(-EINVAL,
				    "ring %u of %u descriptors: the number must "
				    "be a power of two up to %u",
				    ring->index, size,
				    connection->shared.device->ring_size_max);
	halt_ring(connection, ring);
	ring->size = size;
	return run_ring(connection, ring);
}

int protocol_set_vring_addr(struct connection *connection,
			    struct vhost_user_message *message)
{
	const struct vhost_user_vring_addr addresses = message->payload.addr;
	struct ring *ring = find_ring(connection, addresses.index);

	if (!ring)
		return -EINVAL;
	halt_ring(connection, ring);
	ring->descriptor_user = addresses.descriptor;
	ring->avail_user = addresses.available;
	ring->used_user = addresses.used;
	ring->has_addresses = true;
	return run_ring(connection, ring);
}

int protocol_set_vring_base(struct connection *connection,
			    struct vhost_user_message *message)
{
	uint32_t base = message->payload.state.num;
	struct ring *ring = find_ring(connection, message->payload.state.index);

	if (!ring)
		return -EINVAL;
	if (base > UINT16_MAX)
		return error_record(-EINVAL, "ring %u: base %u is too large",
				    ring->index, base);
	halt_ring(connection, ring);
	ring->taken_index = base;
	return run_ring(connection, ring);
}

int protocol_set_vring_enable(struct connection *connection,
			      struct vhost_user_message *message)
{
	uint32_t enable = message->payload.state.num;
	struct ring *ring = find_ring(connection, message->payload.state.index);

	if (!ring)
		return -EINVAL;
	if (connection_profile(connection)->ignores_enable)
		return 0;
	if (enable > 1)
		return error_record(-EINVAL, "ring %u: enable is %u, not 0 or 1",
				    ring->index, enable);
	halt_ring(connection, ring);
	ring->enabled = enable;
	return run_ring(connection, ring);
}

static void close_fd(int *fd)
{
	given_fd_close(*fd);
	*fd = -1;
}

/* vhost-user, "Ring states": this stops the ring until there is a new kick. */
int protocol_get_vring_base(struct connection *connection,
			    struct vhost_user_message *message)
{
	struct ring *ring = find_ring(connection, message->payload.state.index);

	if (!ring)
		return -EINVAL;
	halt_ring(connection, ring);
	ring->has_kick = false;
	ring->broken = false;
	close_fd(&ring->kick_fd);
	close_fd(&ring->call_fd);
	message->payload.state.num = ring->taken_index;
	message->header.size = sizeof(message->payload.state);
	return 0;
}

/* ---- kick, call, err ---------------------------------------------------- */

/* Finds the ring and the fd of a message. `fd` is -1 if the message says that
 * there is none. */
static int take_ring_fd(struct connection *connection,
			const struct vhost_user_message *message,
			const char *what, struct ring **ring, int *fd)
{
	uint64_t value = message->payload.u64;
	int result;

	*ring = find_ring(connection, value & VHOST_USER_VRING_INDEX_MASK);
	if (!*ring)
		return -EINVAL;
	*fd = -1;
	if (value & VHOST_USER_VRING_NO_FD)
		return 0;
	*fd = connection_take_fd(connection);
	if (*fd < 0)
		return *fd;
	result = given_fd_check_event(*fd, what);
	if (result)
		close_fd(fd);
	return result;
}

/* SPDK ignores what is set up after the kick. */
static bool is_ready_for_kick(const struct connection *connection,
			      const struct ring *ring)
{
	return !connection_profile(connection)->wants_kick_last ||
	       (connection->memory.count && ring->size &&
		ring->has_addresses && ring->call_fd >= 0);
}

int protocol_set_vring_kick(struct connection *connection,
			    struct vhost_user_message *message)
{
	struct ring *ring;
	int fd, result = take_ring_fd(connection, message, "the kick fd",
				      &ring, &fd);

	if (result)
		return result;
	halt_ring(connection, ring);
	close_fd(&ring->kick_fd);
	ring->kick_fd = fd;
	ring->broken = false;
	ring->has_kick = is_ready_for_kick(connection, ring);
	return run_ring(connection, ring);
}

int protocol_set_vring_call(struct connection *connection,
			    struct vhost_user_message *message)
{
	struct ring *ring;
	int fd, result = take_ring_fd(connection, message, "the call fd",
				      &ring, &fd);

	if (result)
		return result;
	close_fd(&ring->call_fd);
	ring->call_fd = fd;
	return 0;
}

int protocol_set_vring_err(struct connection *connection,
			   struct vhost_user_message *message)
{
	struct ring *ring;
	int fd, result = take_ring_fd(connection, message, "the err fd",
				      &ring, &fd);

	if (result)
		return result;
	close_fd(&ring->err_fd);
	ring->err_fd = fd;
	return 0;
}
