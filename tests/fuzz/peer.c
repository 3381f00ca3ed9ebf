/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The messages of the peer; see peer.h. */
#include "peer.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <poll.h>
#include <sys/socket.h>

#include "clock_stub.h"
#include "descriptors.h"
#include "peer_rings.h"
#include "vhost/proto.h"

#define SILENCE_NS 500000000u
#define OUTGOING_BYTES 2048
#define RECORD_BYTES 4096
#define CAPACITY_SECTORS 2048

/* What a lie changes. */
enum lie {
	LIE_NONE,
	LIE_PAYLOAD, /* all of it */
	LIE_BITS,    /* eight bytes of the payload */
	LIE_HEADER,
	LIE_FDS,
	LIE_SHORT,   /* a part, and then the end of the connection */
	LIE_SILENCE,
	LIE_TWICE,
	LIES
};

static struct {
	bool is_scsi;
	struct input *messages;
	uint64_t status;
	uint8_t outgoing[OUTGOING_BYTES];
	size_t size, sent;
	int fds[VHOST_USER_MAX_FDS + 4];
	unsigned int num_fds;
	size_t at_once; /* bytes that one recvmsg() gets at most */
	bool has_hung_up;
	int request_fd; /* a socket for our own requests; 0: none */
} peer;

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_shutdown(int fd, int how);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
int __wrap_poll(struct pollfd *watched, nfds_t count, int timeout_ms);

void peer_begin(bool is_scsi, struct input *messages, struct input *answers)
{
	memset(&peer, 0, sizeof(peer));
	peer.is_scsi = is_scsi;
	peer.messages = messages;
	peer.at_once = OUTGOING_BYTES;
	peer_rings_begin(is_scsi, answers);
}

void peer_end(void)
{
	while (peer.num_fds)
		close(peer.fds[--peer.num_fds]);
	if (peer.request_fd)
		close(peer.request_fd);
	peer.request_fd = 0;
}

void peer_tell_change(void)
{
	const struct vhost_user_header header = {
		.request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
		.flags = VHOST_USER_VERSION,
	};

	if (peer.request_fd)
		send(peer.request_fd, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void peer_hang_up(void)
{
	peer.has_hung_up = true;
	peer_rings_stop_all();
}

/* ---- honest replies -------------------------------------------------------------- */

static uint64_t features(void)
{
	uint64_t both = 1ull << VIRTIO_F_VERSION_1 | 1ull << VHOST_USER_F_PROTOCOL_FEATURES |
			1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX;

	if (peer.is_scsi)
		return both | 1ull << VIRTIO_SCSI_F_INOUT;
	return both | 1ull << VIRTIO_BLK_F_SIZE_MAX | 1ull << VIRTIO_BLK_F_SEG_MAX |
	       1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_FLUSH |
	       1ull << VIRTIO_BLK_F_TOPOLOGY | 1ull << VIRTIO_BLK_F_MQ |
	       1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
}

static void fill_config(uint8_t *space)
{
	const struct virtio_blk_config blk = {
		.capacity = CAPACITY_SECTORS,
		.size_max = 1 << 16,
		.seg_max = 126,
		.blk_size = 512,
		.num_queues = 4,
		.max_discard_sectors = CAPACITY_SECTORS,
		.max_discard_seg = 1,
		.discard_sector_alignment = 1,
		.max_write_zeroes_sectors = CAPACITY_SECTORS,
		.max_write_zeroes_seg = 1,
	};
	const struct virtio_scsi_config scsi = {
		.num_queues = 4,
		.seg_max = 126,
		.max_sectors = 0xffff,
		.sense_size = VIRTIO_SCSI_SENSE_DEFAULT_SIZE,
		.cdb_size = VIRTIO_SCSI_CDB_DEFAULT_SIZE,
		.max_target = 1,
	};

	if (peer.is_scsi)
		memcpy(space, &scsi, sizeof(scsi));
	else
		memcpy(space, &blk, sizeof(blk));
}

static void reply_u64(struct vhost_user_message *message, uint64_t value)
{
	message->header.size = sizeof(value);
	message->payload.u64 = value;
}

/* Turns a request into its reply. False if it has none. */
static bool reply_honestly(struct vhost_user_message *message)
{
	switch (message->header.request) {
	case VHOST_USER_GET_FEATURES:
		reply_u64(message, features());
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		reply_u64(message, 1ull << VHOST_USER_PROTOCOL_F_MQ |
				   1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK |
				   1ull << VHOST_USER_PROTOCOL_F_BACKEND_REQ |
				   1ull << VHOST_USER_PROTOCOL_F_CONFIG |
				   1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
				   1ull << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
				   1ull << VHOST_USER_PROTOCOL_F_STATUS);
		break;
	case VHOST_USER_GET_QUEUE_NUM:
		reply_u64(message, peer.is_scsi ? 6 : 4);
		break;
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		reply_u64(message, VHOST_USER_MAX_REGIONS);
		break;
	case VHOST_USER_GET_STATUS:
		reply_u64(message, peer.status);
		break;
	case VHOST_USER_GET_CONFIG:
		fill_config(message->payload.config.space);
		break;
	case VHOST_USER_GET_VRING_BASE:
		message->payload.state.num = 0;
		break;
	case VHOST_USER_GET_INFLIGHT_FD:
		message->payload.inflight.mmap_size = RECORD_BYTES;
		peer.fds[peer.num_fds++] = descriptor_make_page(RECORD_BYTES);
		break;
	default:
		if (!(message->header.flags & VHOST_USER_FLAG_NEED_REPLY))
			return false;
		reply_u64(message, 0);
	}
	message->header.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY;
	return true;
}

static void carry_out(const struct vhost_user_message *message)
{
	switch (message->header.request) {
	case VHOST_USER_SET_VRING_NUM:
		peer_rings_set_size(message->payload.state.index,
				    message->payload.state.num);
		break;
	case VHOST_USER_SET_VRING_BASE:
		peer_rings_set_base(message->payload.state.index,
				    (uint16_t)message->payload.state.num);
		break;
	case VHOST_USER_SET_VRING_ADDR:
		peer_rings_set_addresses(&message->payload.addr);
		break;
	case VHOST_USER_GET_VRING_BASE:
		peer_rings_stop(message->payload.state.index);
		break;
	case VHOST_USER_SET_STATUS:
		peer.status = message->payload.u64;
		break;
	default:
		break;
	}
}

/* ---- lies ------------------------------------------------------------------------ */

static void put_outgoing(const void *bytes, size_t size)
{
	size_t room = OUTGOING_BYTES - peer.size;

	if (size > room)
		size = room;
	memcpy(peer.outgoing + peer.size, bytes, size);
	peer.size += size;
}

static void change_bits(struct vhost_user_message *message)
{
	uint8_t *payload = (uint8_t *)&message->payload;
	size_t place = input_take(peer.messages, 1), size = message->header.size;
	uint64_t bits = input_take(peer.messages, 8);

	for (size_t i = 0; i < sizeof(bits) && place + i < size; i++)
		payload[place + i] ^= (uint8_t)(bits >> 8 * i);
}

/* What follows the header stays as long as it was. */
static void change_header(struct vhost_user_header *header)
{
	uint32_t field = (uint32_t)input_take(peer.messages, 1);
	uint32_t value = (uint32_t)input_take(peer.messages, 4);

	if (field % 3 == 0)
		header->request = value;
	else if (field % 3 == 1)
		header->flags = value;
	else
		header->size = value;
}

static void add_fds(void)
{
	unsigned int count = (unsigned int)input_take(peer.messages, 1) % 12;

	while (count-- && peer.num_fds < sizeof(peer.fds) / sizeof(peer.fds[0])) {
		int fd = descriptor_make((unsigned int)input_take(peer.messages, 1), 0);

		if (fd >= 0)
			peer.fds[peer.num_fds++] = fd;
	}
}

static void reply(struct vhost_user_message *message, enum lie lie)
{
	size_t size = sizeof(message->header) + message->header.size;

	if (lie == LIE_SILENCE)
		return;
	if (lie == LIE_PAYLOAD)
		input_copy(peer.messages, &message->payload, message->header.size);
	else if (lie == LIE_BITS)
		change_bits(message);
	else if (lie == LIE_HEADER)
		change_header(&message->header);
	else if (lie == LIE_FDS)
		add_fds();
	else if (lie == LIE_SHORT)
		size = input_take(peer.messages, 1) % size;
	put_outgoing(message, size);
	if (lie == LIE_TWICE)
		put_outgoing(message, size);
	if (lie == LIE_SHORT)
		peer_hang_up();
}

static void take_message(struct vhost_user_message *message)
{
	unsigned int lie = LIE_NONE;

	carry_out(message);
	if (!reply_honestly(message))
		return;
	if (peer.messages)
		lie = (unsigned int)input_take(peer.messages, 1);
	/* The other bits say in how small pieces it comes. */
	peer.at_once = lie / LIES ? lie / LIES : OUTGOING_BYTES;
	reply(message, lie % LIES);
}

/* ---- the system calls ------------------------------------------------------------ */

/* A new connection knows nothing of the last one. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	(void)fd, (void)address, (void)size;
	peer_end();
	peer.size = peer.sent = 0;
	peer.status = 0;
	peer.has_hung_up = false;
	return 0;
}

/* The socket, which is not connected, cannot be shut down. */
int __wrap_shutdown(int fd, int how)
{
	(void)fd, (void)how;
	peer_hang_up();
	return 0;
}

static void keep_request_fd(const struct msghdr *sent)
{
	int fd;

	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(sent)), sizeof(fd));
	if (peer.request_fd)
		close(peer.request_fd);
	peer.request_fd = dup(fd);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *sent, int flags)
{
	struct vhost_user_message message = { 0 };
	size_t bytes = sent->msg_iov->iov_len;

	(void)fd, (void)flags;
	if (peer.has_hung_up) {
		errno = EPIPE;
		return -1;
	}
	require(sent->msg_iovlen == 1 && bytes <= sizeof(message),
		"a message is sent at once");
	memcpy(&message, sent->msg_iov->iov_base, bytes);
	if (message.header.request == VHOST_USER_SET_BACKEND_REQ_FD)
		keep_request_fd(sent);
	take_message(&message);
	return (ssize_t)bytes;
}

/* The socket for the back-end's own requests is a real one, and has another end. */
static bool is_real(int fd)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	return !getpeername(fd, (struct sockaddr *)&address, &size);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *received, int flags)
{
	size_t bytes = received->msg_iov->iov_len, left = peer.size - peer.sent;

	if (is_real(fd))
		return __real_recvmsg(fd, received, flags);
	if (!left && !peer.has_hung_up) {
		errno = EAGAIN;
		return -1;
	}
	if (bytes > left)
		bytes = left;
	if (bytes > peer.at_once)
		bytes = peer.at_once;
	memcpy(received->msg_iov->iov_base, peer.outgoing + peer.sent, bytes);
	peer.sent += bytes;
	if (peer.sent == peer.size)
		peer.sent = peer.size = 0;
	descriptors_hand_over(received, peer.fds, &peer.num_fds);
	return (ssize_t)bytes;
}

/* The front-end waits for the socket, for a call and the end of the connection, or for the
 * end alone. */
int __wrap_poll(struct pollfd *watched, nfds_t count, int timeout_ms)
{
	int ready = 0;

	/* If nothing was offered, nothing will come, so the time-out comes soon. */
	if (timeout_ms && !peer_rings_serve())
		time_pass_ns(SILENCE_NS);
	for (nfds_t i = 0; i < count; i++) {
		watched[i].revents = 0;
		if (peer.has_hung_up && watched[i].events & POLLRDHUP)
			watched[i].revents = POLLRDHUP;
		if (watched[i].events & POLLIN && peer.size > peer.sent)
			watched[i].revents |= POLLIN;
		ready += watched[i].revents != 0;
	}
	return ready;
}
