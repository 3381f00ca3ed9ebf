/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of the peer that answers requests; see peer.h. */
#ifndef FUZZ_PEER_RINGS_H
#define FUZZ_PEER_RINGS_H

#include "input.h"
#include "vhost/proto.h"

void peer_rings_begin(bool is_scsi, struct input *answers);
void peer_rings_set_size(uint32_t index, uint32_t size);
void peer_rings_set_addresses(const struct vhost_user_vring_addr *addresses);
void peer_rings_set_base(uint32_t index, uint16_t base);
void peer_rings_stop(uint32_t index);
void peer_rings_stop_all(void);
/* Answers all requests that were offered since the last time. False if there were none. */
bool peer_rings_serve(void);

#endif
