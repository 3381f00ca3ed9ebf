/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose ways the back-end plays: its own, or those of another back-end.
 *
 * Constant tables; any thread. What each switch changes is done where it
 * matters, by a look at this structure: nothing is done here.
 */
#ifndef BACKEND_PROFILE_H
#define BACKEND_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

struct profile {
	const char *name;
	/* Virtio features offered, before what the configuration adds (read
	 * only) and takes away. */
	uint64_t blk_features;
	uint64_t scsi_features;
	/* CONFIG is left out for virtio-scsi. */
	uint64_t protocol_features;
	unsigned int memory_slots;
	unsigned int ring_size_max;
	uint32_t size_max; /* unless one is configured */
	uint32_t seg_max;

	bool offers_empty_size_max; /* SIZE_MAX with the value 0: no limit */
	bool one_client;	    /* the next one waits for the first to go */
	bool closes_on_failure;	    /* also on a request it does not know */
	bool wants_kick_last;	    /* memory, addresses and call come first, or
				     * the ring is never served */
	bool ignores_enable;	    /* served without it */
	bool loses_early_kicks;	    /* those that came before ENABLE */
	bool ignores_config_offset; /* GET_CONFIG reads from 0 */
	bool completes_bad_chains;  /* used length 0, status untouched */
	bool loose_used_length;	    /* not to be relied on */
	bool null_lacks_flush;	    /* null storage offers no flush, discard */
	bool has_attention;	    /* scsi: power-on unit attention */
};

/* NULL if there is none of this name. */
const struct profile *profile_find(const char *name);

#endif
