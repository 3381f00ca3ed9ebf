/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries out vhost-user messages and answers them. Those about rings and
 * memory are in protocol/ring.c and protocol/memory.c. Only the control thread
 * enters it, while the workers are parked. The table of handlers has the
 * smallest payload of each message; the handlers check all numbers in it.
 */
#include "protocol/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/feature.h"
#include "base/given_fd.h"
#include "protocol/memory.h"
#include "protocol/ring.h"

/* Bytes of a configuration message before its contents. */
#define CONFIG_HEADER_BYTES offsetof(struct vhost_user_config, space)

static bool has_protocol(const struct connection *connection, unsigned int bit)
{
	return has_feature(connection->protocol_features, bit);
}

/* ---- features ----------------------------------------------------------- */

static uint64_t offered_features(const struct connection *connection)
{
	const struct device *device = connection->shared.device;

	return device->ops->features(device);
}

static uint64_t offered_protocol_features(const struct connection *connection)
{
	uint64_t features = connection_profile(connection)->protocol_features;

	if (!connection->shared.device->ops->has_config_messages)
		features &= ~FEATURE(VHOST_USER_PROTOCOL_F_CONFIG);
	return features;
}

static int get_features(struct connection *connection,
			struct vhost_user_message *message)
{
	return message_reply_u64(message, offered_features(connection));
}

static int check_subset(const char *what, uint64_t asked, uint64_t offered)
{
	if (asked & ~offered)
		return error_record(-EINVAL,
				    "%s %#" PRIx64 " requested, but only %#" PRIx64
				    " are offered",
				    what, asked, offered);
	return 0;
}

static int set_features(struct connection *connection,
			struct vhost_user_message *message)
{
	uint64_t features = message->payload.u64;
	bool needs_enable =
		has_feature(features, VHOST_USER_F_PROTOCOL_FEATURES);
	unsigned int i;
	int result = check_subset("virtio features", features,
				  offered_features(connection));

	if (result)
		return result;
	protocol_halt_rings(connection);
	connection->session.features = features;
	/* vhost-user, "Ring states": without protocol features rings start
	 * enabled. */
	for (i = 0; i < connection->ring_count; i++)
		if (!needs_enable || connection_profile(connection)->ignores_enable)
			connection->rings[i].enabled = true;
	return protocol_resume_rings(connection);
}

static int get_protocol_features(struct connection *connection,
				 struct vhost_user_message *message)
{
	return message_reply_u64(message, offered_protocol_features(connection));
}

static int set_protocol_features(struct connection *connection,
				 struct vhost_user_message *message)
{
	int result = check_subset("protocol features", message->payload.u64,
				  offered_protocol_features(connection));

	if (!result)
		connection->protocol_features = message->payload.u64;
	return result;
}

static int get_queue_num(struct connection *connection,
			 struct vhost_user_message *message)
{
	return message_reply_u64(message, connection->ring_count);
}

/* The owner has no meaning here, because each client has its own connection. */
static int do_nothing(struct connection *connection,
		      struct vhost_user_message *message)
{
	(void)connection, (void)message;
	return 0;
}

/* ---- configuration space ------------------------------------------------ */

static int check_config(const struct vhost_user_message *message)
{
	uint32_t offset = message->payload.config.offset;
	uint32_t size = message->payload.config.size;

	if (size > VHOST_USER_MAX_CONFIG ||
	    offset > VHOST_USER_MAX_CONFIG - size ||
	    message->header.size < CONFIG_HEADER_BYTES + size)
		return error_record(-EINVAL,
				    "configuration: %u bytes at offset %u do not "
				    "fit into a payload of %u bytes",
				    size, offset, message->header.size);
	return 0;
}

static int get_config(struct connection *connection,
		      struct vhost_user_message *message)
{
	const struct device_ops *ops = connection->shared.device->ops;
	uint8_t space[2 * VHOST_USER_MAX_CONFIG] = { 0 };
	uint32_t offset = message->payload.config.offset;
	uint32_t size = message->payload.config.size;
	int result = check_config(message);

	if (result)
		return result;
	if (connection_profile(connection)->ignores_config_offset)
		offset = 0;
	ops->get_config(&connection->session, space);
	memcpy(message->payload.config.space, space + offset, size);
	message->header.size = CONFIG_HEADER_BYTES + size;
	return 0;
}

static int set_config(struct connection *connection,
		      struct vhost_user_message *message)
{
	const struct device_ops *ops = connection->shared.device->ops;
	const struct vhost_user_config *config = &message->payload.config;
	int result = check_config(message);

	if (!result)
		result = ops->set_config(&connection->session, config->offset,
					 config->space, config->size);
	if (result == -EPERM)
		error_record(result,
			     "configuration: the driver may not write %u bytes "
			     "at offset %u",
			     message->payload.config.size,
			     message->payload.config.offset);
	return result;
}

static int set_backend_req_fd(struct connection *connection,
			      struct vhost_user_message *message)
{
	int fd = connection_take_fd(connection);
	int result;

	(void)message;
	if (fd < 0)
		return fd;
	result = given_fd_check_socket(fd, "the fd for requests");
	if (result) {
		given_fd_close(fd);
		return result;
	}
	given_fd_close(connection->request_fd);
	connection->request_fd = fd;
	return 0;
}

/* ---- status and reset --------------------------------------------------- */

static int reset_device(struct connection *connection,
			struct vhost_user_message *message)
{
	struct session *session = &connection->session;

	(void)message;
	protocol_reset_rings(connection);
	session->features = 0;
	connection->status = 0;
	session->device->ops->open_session(session);
	return 0;
}

static int set_status(struct connection *connection,
		      struct vhost_user_message *message)
{
	/* Virtio 1.2, 2.1.1: writing 0 resets the device. */
	if (!message->payload.u64)
		return reset_device(connection, message);
	connection->status = message->payload.u64 & UINT8_MAX;
	return 0;
}

static int get_status(struct connection *connection,
		      struct vhost_user_message *message)
{
	return message_reply_u64(message, connection->status);
}

/* ---- dispatch ----------------------------------------------------------- */

#define ALWAYS (-1)

struct handler {
	int (*handle)(struct connection *connection,
		      struct vhost_user_message *message);
	uint32_t payload_bytes; /* the smallest payload */
	bool replies;
	int feature; /* the protocol feature that it needs, or ALWAYS */
};

#define U64 sizeof(uint64_t)
#define STATE sizeof(struct vhost_user_vring_state)
/* Some clients send the message without padding. */
#define INFLIGHT_BYTES_MIN offsetof(struct vhost_user_inflight, padding)

static const struct handler handlers[] = {
	[VHOST_USER_GET_FEATURES] = { get_features, 0, true, ALWAYS },
	[VHOST_USER_SET_FEATURES] = { set_features, U64, false, ALWAYS },
	[VHOST_USER_SET_OWNER] = { do_nothing, 0, false, ALWAYS },
	[VHOST_USER_RESET_OWNER] = { do_nothing, 0, false, ALWAYS },
	[VHOST_USER_SET_MEM_TABLE] = { protocol_set_mem_table, 8, false, ALWAYS },
	[VHOST_USER_SET_VRING_NUM] = { protocol_set_vring_num, STATE, false,
				       ALWAYS },
	[VHOST_USER_SET_VRING_ADDR] = { protocol_set_vring_addr,
					sizeof(struct vhost_user_vring_addr),
					false, ALWAYS },
	[VHOST_USER_SET_VRING_BASE] = { protocol_set_vring_base, STATE, false,
					ALWAYS },
	[VHOST_USER_GET_VRING_BASE] = { protocol_get_vring_base, STATE, true,
					ALWAYS },
	[VHOST_USER_SET_VRING_KICK] = { protocol_set_vring_kick, U64, false,
					ALWAYS },
	[VHOST_USER_SET_VRING_CALL] = { protocol_set_vring_call, U64, false,
					ALWAYS },
	[VHOST_USER_SET_VRING_ERR] = { protocol_set_vring_err, U64, false,
				       ALWAYS },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { get_protocol_features, 0, true,
					       ALWAYS },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { set_protocol_features, U64,
					       false, ALWAYS },
	[VHOST_USER_GET_QUEUE_NUM] = { get_queue_num, 0, true,
				       VHOST_USER_PROTOCOL_F_MQ },
	[VHOST_USER_SET_VRING_ENABLE] = { protocol_set_vring_enable, STATE,
					  false, ALWAYS },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { set_backend_req_fd, 0, false,
					    VHOST_USER_PROTOCOL_F_BACKEND_REQ },
	/* These work without their feature too, because old front-ends do not
	 * negotiate it but need the capacity. */
	[VHOST_USER_GET_CONFIG] = { get_config, CONFIG_HEADER_BYTES, true,
				    ALWAYS },
	[VHOST_USER_SET_CONFIG] = { set_config, CONFIG_HEADER_BYTES, false,
				    ALWAYS },
	[VHOST_USER_GET_INFLIGHT_FD] = { protocol_get_inflight_fd,
					 INFLIGHT_BYTES_MIN, true,
					 VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD },
	[VHOST_USER_SET_INFLIGHT_FD] = { protocol_set_inflight_fd,
					 INFLIGHT_BYTES_MIN, false,
					 VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD },
	[VHOST_USER_RESET_DEVICE] = { reset_device, 0, false,
				      VHOST_USER_PROTOCOL_F_RESET_DEVICE },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = {
		protocol_get_max_mem_slots, 0, true,
		VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS },
	[VHOST_USER_ADD_MEM_REG] = {
		protocol_add_mem_reg, sizeof(struct vhost_user_mem_region), false,
		VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS },
	[VHOST_USER_REM_MEM_REG] = {
		protocol_rem_mem_reg, sizeof(struct vhost_user_mem_region), false,
		VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS },
	[VHOST_USER_SET_STATUS] = { set_status, U64, false,
				    VHOST_USER_PROTOCOL_F_STATUS },
	[VHOST_USER_GET_STATUS] = { get_status, 0, true,
				    VHOST_USER_PROTOCOL_F_STATUS },
};

/* The offered features decide, not the negotiated ones, because a request may
 * come before SET_PROTOCOL_FEATURES. */
static const struct handler *find_handler(const struct connection *connection,
					  uint32_t request)
{
	const struct handler *handler;

	if (request >= sizeof(handlers) / sizeof(handlers[0]))
		return NULL;
	handler = &handlers[request];
	if (!handler->handle)
		return NULL;
	if (handler->feature != ALWAYS &&
	    !has_feature(offered_protocol_features(connection),
			 handler->feature))
		return NULL;
	return handler;
}

static int send_reply(struct connection *connection,
		      struct vhost_user_message *message, uint32_t faults)
{
	if (faults & FAULT_BIT(FAULT_LOSE_REPLY))
		return 0;
	if (faults & FAULT_BIT(FAULT_WRONG_REPLY))
		message->header.request++;
	if (faults & FAULT_BIT(FAULT_SHORT_REPLY))
		message->header.size /= 2;
	return connection_reply(connection, message);
}

static int answer(struct connection *connection, const struct handler *handler,
		  bool wants_reply, int result, uint32_t faults)
{
	struct vhost_user_message *message = &connection->message;
	bool acknowledges =
		wants_reply &&
		has_protocol(connection, VHOST_USER_PROTOCOL_F_REPLY_ACK);

	if (result)
		log_line(connection->shared.log_fd,
			 "client %u: request %u: %s", connection->id,
			 message->header.request, error_sentence());
	if (handler && handler->replies && !result)
		return send_reply(connection, message, faults);
	if (result && (connection_profile(connection)->closes_on_failure ||
		       !acknowledges || (handler && handler->replies)))
		return result;
	if (!acknowledges)
		return 0;
	message_reply_u64(message, -result);
	return send_reply(connection, message, faults);
}

static uint32_t find_faults(struct connection *connection)
{
	const struct connection_shared *shared = &connection->shared;
	struct fault_effects effects = faults_for_message(
		shared->faults, connection->message_count,
		connection->message.header.request);
	unsigned int i;

	for (i = FAULT_ON_REQUESTS; i < FAULT_ACTIONS; i++)
		shared->statistics->faults[i] +=
			effects.actions & FAULT_BIT(i) ? 1 : 0;
	return effects.actions;
}

static int carry_out(struct connection *connection)
{
	struct vhost_user_message *message = &connection->message;
	const uint32_t request = message->header.request;
	const struct handler *handler = find_handler(connection, request);
	bool wants_reply =
		message->header.flags & VHOST_USER_FLAG_NEED_REPLY;
	uint32_t faults = find_faults(connection);
	int result;

	if (faults & FAULT_BIT(FAULT_HANG_UP))
		return error_record(-ECONNABORTED, "fault: hang-up");
	if (!handler)
		result = error_record(-EOPNOTSUPP, "unknown request %u",
				      request);
	else if (message->header.size < handler->payload_bytes)
		result = error_record(-EINVAL, "a payload of %u bytes is too short",
				      message->header.size);
	else
		result = handler->handle(connection, message);
	return answer(connection, handler, wants_reply, result, faults);
}

int protocol_handle(struct connection *connection)
{
	int result;

	connection->message_count++;
	result = carry_out(connection);
	connection_next(connection);
	return result;
}

void protocol_close(struct connection *connection)
{
	protocol_reset_rings(connection);
	connection_close(connection);
}
