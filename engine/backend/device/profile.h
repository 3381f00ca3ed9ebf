/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The behaviour of the built-in back-end: its own, or an imitation of another
 * back-end.
 *
 * These are constant tables, so any thread may read them. The code that behaves
 * differently reads its switch here.
 */
#ifndef BACKEND_PROFILE_H
#define BACKEND_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

struct profile {
	const char *name;
	/* The virtio features to offer. The configuration adds read-only, and
	 * it removes features that it does not provide. */
	uint64_t blk_features;
	uint64_t scsi_features;
	/* virtio-scsi does not offer CONFIG. */
	uint64_t protocol_features;
	unsigned int memory_slots;
	unsigned int ring_size_max;
	/* Unless the configuration says otherwise. */
	uint32_t size_max;
	uint32_t seg_max;

	bool offers_empty_size_max; /* SIZE_MAX with the value 0: no limit */
	bool one_client;	    /* a second client waits for the first */
	bool closes_on_failure;	    /* and on unknown requests */
	bool wants_kick_last;	    /* a ring is never served if its kick comes
				     * before memory, addresses or call */
	bool ignores_enable;	    /* rings run without ENABLE */
	bool loses_early_kicks;	    /* that came before the ring ran */
	bool ignores_config_offset; /* GET_CONFIG reads from offset 0 */
	bool completes_bad_chains;  /* used length 0, status not written */
	bool loose_used_length;	    /* drivers cannot rely on it */
	bool ignores_unmap_list;    /* scsi: the residual of UNMAP is its whole list */
	bool keeps_ring_addresses;  /* a region is refused if a ring, also one that
				     * was stopped, lies outside of all regions */
	bool null_lacks_flush;	    /* null storage: no flush, no discard */
	bool has_attention;	    /* scsi: power-on unit attention */
};

/* Returns NULL if no profile has this name. */
const struct profile *profile_find(const char *name);

#endif
