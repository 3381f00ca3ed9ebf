/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user connection: one typed function for each request. Every reply is
 * validated. Source: QEMU, docs/interop/vhost-user.rst.
 *
 * One thread at a time uses a connection. Each call ends by the deadline set
 * with vhost_user_set_timeout(). After a failure in the middle of the stream
 * (time-out, wrong or short reply, hang-up) the connection is dead, and every
 * later call fails at once with -ENOTCONN. The caller still owns file descriptors
 * that it passes in. This file never touches rings or shared memory.
 *
 * Errors, each with a sentence: -ETIMEDOUT: no answer; -ECONNRESET: the back-end
 * hung up; -EPROTO: a wrong answer; -EREMOTEIO: the back-end refused.
 */
#ifndef VHOST_USER_H
#define VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "vhost/proto.h"

struct vhost_user {
	int fd;              /* -1: closed */
	bool is_dead;
	uint64_t protocol;   /* protocol features negotiated */
	uint64_t deadline_ns;
	char path[108];      /* for sentences; the size of sun_path */
};

/* -ENOENT, -ENOTSOCK, -ECONNREFUSED, -EACCES, -ENAMETOOLONG, -ETIMEDOUT ... */
int vhost_user_connect(struct vhost_user *vu, const char *path,
		       unsigned int timeout_ms);
void vhost_user_close(struct vhost_user *vu);
/* Ends the connection for both sides; the socket stays open. Does not wait. It is in
 * vhost/wire.c. */
void vhost_user_hang_up(struct vhost_user *vu);
/* All following calls together take timeout_ms at most. */
void vhost_user_set_timeout(struct vhost_user *vu, unsigned int timeout_ms);

bool vhost_user_has_protocol(const struct vhost_user *vu, unsigned int bit);

int vhost_user_get_features(struct vhost_user *vu, uint64_t *features);
int vhost_user_set_features(struct vhost_user *vu, uint64_t features);
int vhost_user_get_protocol_features(struct vhost_user *vu, uint64_t *features);
int vhost_user_set_protocol_features(struct vhost_user *vu, uint64_t features);
int vhost_user_set_owner(struct vhost_user *vu);
/* Needs MQ. */
int vhost_user_get_queue_num(struct vhost_user *vu, uint64_t *num);
/* Needs BACKEND_REQ. fd is the back-end's end of a socket; see vhost/channel.h. */
int vhost_user_set_backend_req_fd(struct vhost_user *vu, int fd);
/* Reads configuration space from offset 0, since some back-ends ignore the
 * offset. Needs CONFIG. size is at most VHOST_USER_MAX_CONFIG. */
int vhost_user_get_config(struct vhost_user *vu, void *space, uint32_t size);

/* fds[i] belongs to table->regions[i]. */
int vhost_user_set_mem_table(struct vhost_user *vu,
			     const struct vhost_user_mem_table *table,
			     const int *fds);
/* These three need CONFIGURE_MEM_SLOTS. */
int vhost_user_get_max_mem_slots(struct vhost_user *vu, uint64_t *slots);
int vhost_user_add_mem_reg(struct vhost_user *vu,
			   const struct vhost_user_region *region, int fd);
int vhost_user_rem_mem_reg(struct vhost_user *vu,
			   const struct vhost_user_region *region);

int vhost_user_set_vring_num(struct vhost_user *vu, uint32_t index, uint32_t num);
int vhost_user_set_vring_base(struct vhost_user *vu, uint32_t index, uint32_t base);
int vhost_user_set_vring_addr(struct vhost_user *vu,
			      const struct vhost_user_vring_addr *addr);
int vhost_user_set_vring_call(struct vhost_user *vu, uint32_t index, int fd);
int vhost_user_set_vring_kick(struct vhost_user *vu, uint32_t index, int fd);
int vhost_user_set_vring_enable(struct vhost_user *vu, uint32_t index, bool on);
/* Stops the ring. */
int vhost_user_get_vring_base(struct vhost_user *vu, uint32_t index, uint32_t *base);

/* These two need INFLIGHT_SHMFD. The first asks for a record of the requests in flight of
 * area->num_queues queues of area->queue_size entries, and fills in where it lies in *fd,
 * which the caller then owns. The second hands it over. -ESTALE: it was cut short in the
 * meantime. */
int vhost_user_get_inflight_fd(struct vhost_user *vu, struct vhost_user_inflight *area,
			       int *fd);
int vhost_user_set_inflight_fd(struct vhost_user *vu,
			       const struct vhost_user_inflight *area, int fd);

/* These two need STATUS. */
int vhost_user_set_status(struct vhost_user *vu, uint8_t status);
int vhost_user_get_status(struct vhost_user *vu, uint8_t *status);

/* True once the back-end has hung up. Any thread; does not block. */
bool vhost_user_is_gone(const struct vhost_user *vu);

#endif
