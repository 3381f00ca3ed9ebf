/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests on a vhost-user connection; see vhost/user.h. */
#include "vhost/user.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/unwanted_fds.h"
#include "vhost/wire.h"

bool vhost_user_has_protocol(const struct vhost_user *vu, unsigned int bit)
{
	return vu->protocol >> bit & 1;
}

/* ---- the three forms of a request --------------------------------------- */

static void make_message(struct vhost_user_message *message, uint32_t request,
			 uint32_t size)
{
	memset(message, 0, sizeof(*message));
	message->header.request = request;
	message->header.flags = VHOST_USER_VERSION;
	message->header.size = size;
}

/* Sends message and reads an answer with a payload of size bytes. */
static int ask(struct vhost_user *vu, struct vhost_user_message *message,
	       uint32_t size)
{
	int code = vhost_wire_send(vu, message, NULL, 0);

	return code ? code : vhost_wire_receive(vu, message, size);
}

static int ask_u64(struct vhost_user *vu, uint32_t request, uint64_t *value)
{
	struct vhost_user_message message;
	int code;

	make_message(&message, request, 0);
	code = ask(vu, &message, sizeof(message.payload.u64));
	if (!code)
		*value = message.payload.u64;
	return code;
}

/* Sends message. If REPLY_ACK was agreed on, also asks whether the back-end carried it
 * out (the answer zero means success). */
static int tell(struct vhost_user *vu, struct vhost_user_message *message,
		const int *fds, unsigned int num_fds)
{
	uint32_t request = message->header.request;
	bool wants_reply = vhost_user_has_protocol(vu, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	int code;

	if (wants_reply)
		message->header.flags |= VHOST_USER_FLAG_NEED_REPLY;
	code = vhost_wire_send(vu, message, fds, num_fds);
	if (code || !wants_reply)
		return code;
	code = vhost_wire_receive(vu, message, sizeof(message->payload.u64));
	if (code)
		return code;
	if (message->payload.u64)
		return error_set(EREMOTEIO, "%s: the back-end refused %s (it "
			"answered %llu): its own log may say why", vu->path,
			vhost_wire_name(request),
			(unsigned long long)message->payload.u64);
	return 0;
}

static int tell_u64(struct vhost_user *vu, uint32_t request, uint64_t value)
{
	struct vhost_user_message message;

	make_message(&message, request, sizeof(value));
	message.payload.u64 = value;
	return tell(vu, &message, NULL, 0);
}

static int tell_state(struct vhost_user *vu, uint32_t request, uint32_t index,
		      uint32_t num)
{
	struct vhost_user_message message;

	make_message(&message, request, sizeof(message.payload.state));
	message.payload.state.index = index;
	message.payload.state.num = num;
	return tell(vu, &message, NULL, 0);
}

static int tell_vring_fd(struct vhost_user *vu, uint32_t request,
			 uint32_t index, int fd)
{
	struct vhost_user_message message;

	make_message(&message, request, sizeof(message.payload.u64));
	message.payload.u64 = index & VHOST_USER_VRING_INDEX_MASK;
	return tell(vu, &message, &fd, 1);
}

/* ---- features and configuration ----------------------------------------- */

int vhost_user_get_features(struct vhost_user *vu, uint64_t *features)
{
	return ask_u64(vu, VHOST_USER_GET_FEATURES, features);
}

int vhost_user_set_features(struct vhost_user *vu, uint64_t features)
{
	return tell_u64(vu, VHOST_USER_SET_FEATURES, features);
}

int vhost_user_get_protocol_features(struct vhost_user *vu, uint64_t *features)
{
	return ask_u64(vu, VHOST_USER_GET_PROTOCOL_FEATURES, features);
}

int vhost_user_set_protocol_features(struct vhost_user *vu, uint64_t features)
{
	int code;

	/* REPLY_ACK takes effect with the next request. */
	vu->protocol = 0;
	code = tell_u64(vu, VHOST_USER_SET_PROTOCOL_FEATURES, features);
	if (!code)
		vu->protocol = features;
	return code;
}

int vhost_user_set_owner(struct vhost_user *vu)
{
	struct vhost_user_message message;

	make_message(&message, VHOST_USER_SET_OWNER, 0);
	return tell(vu, &message, NULL, 0);
}

int vhost_user_get_queue_num(struct vhost_user *vu, uint64_t *num)
{
	return ask_u64(vu, VHOST_USER_GET_QUEUE_NUM, num);
}

int vhost_user_set_backend_req_fd(struct vhost_user *vu, int fd)
{
	struct vhost_user_message message;

	make_message(&message, VHOST_USER_SET_BACKEND_REQ_FD, 0);
	return tell(vu, &message, &fd, 1);
}

int vhost_user_get_config(struct vhost_user *vu, void *space, uint32_t size)
{
	struct vhost_user_message message;
	struct vhost_user_config *config = &message.payload.config;
	uint32_t payload = (uint32_t)(sizeof(*config) - sizeof(config->space)) + size;
	int code;

	make_message(&message, VHOST_USER_GET_CONFIG, payload);
	config->size = size;
	code = ask(vu, &message, payload);
	if (code)
		return code;
	if (config->offset != 0 || config->size != size)
		return vhost_wire_break(vu, EPROTO, "answered GET_CONFIG with "
			"%u bytes at offset %u instead of %u at 0",
			config->size, config->offset, size);
	memcpy(space, config->space, size);
	return 0;
}

int vhost_user_set_status(struct vhost_user *vu, uint8_t status)
{
	return tell_u64(vu, VHOST_USER_SET_STATUS, status);
}

int vhost_user_get_status(struct vhost_user *vu, uint8_t *status)
{
	uint64_t value;
	int code = ask_u64(vu, VHOST_USER_GET_STATUS, &value);

	if (code)
		return code;
	if (value > UINT8_MAX)
		return vhost_wire_break(vu, EPROTO, "answered GET_STATUS with 0x%llx, which "
			"is no status of 8 bits", (unsigned long long)value);
	*status = (uint8_t)value;
	return 0;
}

/* ---- memory -------------------------------------------------------------- */

/* Without acknowledgements, a request with an answer shows that the one before it is
 * done. A back-end that hangs up instead hung up at that one. */
static int confirm(struct vhost_user *vu, uint32_t request)
{
	uint64_t ignored;
	int code;

	if (vhost_user_has_protocol(vu, VHOST_USER_PROTOCOL_F_REPLY_ACK))
		return 0;
	code = vhost_user_get_features(vu, &ignored);
	if (code == -ECONNRESET)
		return error_set(ECONNRESET, "%s: the back-end hung up at %s", vu->path,
				 vhost_wire_name(request));
	return code;
}

int vhost_user_set_mem_table(struct vhost_user *vu,
			     const struct vhost_user_mem_table *table,
			     const int *fds)
{
	struct vhost_user_message message;
	int code;

	make_message(&message, VHOST_USER_SET_MEM_TABLE,
		     (uint32_t)(sizeof(*table) - sizeof(table->regions) +
				table->num_regions * sizeof(table->regions[0])));
	message.payload.mem_table = *table;
	code = tell(vu, &message, fds, table->num_regions);
	/* Without REPLY_ACK, the answer to another request shows that it is done. */
	return code ? code : confirm(vu, message.header.request);
}

int vhost_user_get_max_mem_slots(struct vhost_user *vu, uint64_t *slots)
{
	return ask_u64(vu, VHOST_USER_GET_MAX_MEM_SLOTS, slots);
}

int vhost_user_add_mem_reg(struct vhost_user *vu,
			   const struct vhost_user_region *region, int fd)
{
	struct vhost_user_message message;
	int code;

	make_message(&message, VHOST_USER_ADD_MEM_REG,
		     sizeof(message.payload.mem_region));
	message.payload.mem_region.region = *region;
	code = tell(vu, &message, &fd, 1);
	return code ? code : confirm(vu, message.header.request);
}

int vhost_user_rem_mem_reg(struct vhost_user *vu, const struct vhost_user_region *region)
{
	struct vhost_user_message message;
	int code;

	make_message(&message, VHOST_USER_REM_MEM_REG,
		     sizeof(message.payload.mem_region));
	message.payload.mem_region.region = *region;
	code = tell(vu, &message, NULL, 0);
	return code ? code : confirm(vu, message.header.request);
}

/* ---- rings --------------------------------------------------------------- */

int vhost_user_set_vring_num(struct vhost_user *vu, uint32_t index, uint32_t num)
{
	return tell_state(vu, VHOST_USER_SET_VRING_NUM, index, num);
}

int vhost_user_set_vring_base(struct vhost_user *vu, uint32_t index, uint32_t base)
{
	return tell_state(vu, VHOST_USER_SET_VRING_BASE, index, base);
}

int vhost_user_set_vring_addr(struct vhost_user *vu,
			      const struct vhost_user_vring_addr *addr)
{
	struct vhost_user_message message;

	make_message(&message, VHOST_USER_SET_VRING_ADDR, sizeof(*addr));
	message.payload.addr = *addr;
	return tell(vu, &message, NULL, 0);
}

int vhost_user_set_vring_call(struct vhost_user *vu, uint32_t index, int fd)
{
	return tell_vring_fd(vu, VHOST_USER_SET_VRING_CALL, index, fd);
}

int vhost_user_set_vring_kick(struct vhost_user *vu, uint32_t index, int fd)
{
	return tell_vring_fd(vu, VHOST_USER_SET_VRING_KICK, index, fd);
}

int vhost_user_set_vring_enable(struct vhost_user *vu, uint32_t index, bool on)
{
	return tell_state(vu, VHOST_USER_SET_VRING_ENABLE, index, on);
}

int vhost_user_get_vring_base(struct vhost_user *vu, uint32_t index, uint32_t *base)
{
	struct vhost_user_message message;
	int code;

	make_message(&message, VHOST_USER_GET_VRING_BASE,
		     sizeof(message.payload.state));
	message.payload.state.index = index;
	code = ask(vu, &message, sizeof(message.payload.state));
	if (code)
		return code;
	if (message.payload.state.index != index)
		return vhost_wire_break(vu, EPROTO, "answered GET_VRING_BASE "
			"for queue %u instead of %u",
			message.payload.state.index, index);
	*base = message.payload.state.num;
	return 0;
}

/* ---- requests in flight ---------------------------------------------------- */

/* True if a back-end can map the area. It is never mapped here, so nothing happens to us
 * if it is cut short. The size is what the kernel knows without asking the server of a
 * remote file, which might not answer. */
static bool holds_area(int fd, const struct vhost_user_inflight *area)
{
	uint64_t page_mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1, file_bytes;
	struct statx file;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE, &file) ||
	    !S_ISREG(file.stx_mode) || (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return false;
	file_bytes = file.stx_size;
	return area->mmap_size && area->mmap_size <= file_bytes &&
	       area->mmap_offset <= file_bytes - area->mmap_size &&
	       !(area->mmap_offset & page_mask);
}

/* Some back-ends end if the payload is missing, and most want it with its padding. The
 * answer may lack that. */
int vhost_user_get_inflight_fd(struct vhost_user *vu, struct vhost_user_inflight *area,
			       int *fd)
{
	struct vhost_user_message message;
	const struct vhost_user_inflight *answer = &message.payload.inflight;
	int code;

	make_message(&message, VHOST_USER_GET_INFLIGHT_FD, sizeof(*answer));
	message.payload.inflight.num_queues = area->num_queues;
	message.payload.inflight.queue_size = area->queue_size;
	code = vhost_wire_send(vu, &message, NULL, 0);
	if (!code)
		code = vhost_wire_receive_fd(vu, &message, sizeof(*answer),
					     sizeof(answer->padding), fd);
	if (code)
		return code;
	if (!holds_area(*fd, answer)) {
		unwanted_fds_close(fd, 1);
		return vhost_wire_break(vu, EPROTO, "answered GET_INFLIGHT_FD with %llu "
			"bytes at %llu of a file that cannot be mapped there",
			(unsigned long long)answer->mmap_size,
			(unsigned long long)answer->mmap_offset);
	}
	area->mmap_size = answer->mmap_size;
	area->mmap_offset = answer->mmap_offset;
	return 0;
}

int vhost_user_set_inflight_fd(struct vhost_user *vu,
			       const struct vhost_user_inflight *area, int fd)
{
	struct vhost_user_message message;

	if (!holds_area(fd, area))
		return error_set(ESTALE, "%s: the back-end's record of its requests in "
				 "flight was cut short, so it cannot be handed back",
				 vu->path);
	make_message(&message, VHOST_USER_SET_INFLIGHT_FD, sizeof(*area));
	message.payload.inflight = *area;
	return tell(vu, &message, &fd, 1);
}
