/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A transfer: what one call of a program wants of the disk, any bytes at any
 * offset, and how it is cut into steps of whole blocks, each one request or,
 * where blocks are changed in part, two: read, and write back.
 *
 * Arithmetic and copying alone: no lock, no queue. Whoever holds the transfer
 * (see library/shared_queue.h) is the one thread that calls.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include "disk/request.h"
#include "library/poller.h"
#include "library/range_lock.h"
#include "memory/regions.h"

struct shared_queue;

/* Whole blocks on the disk, and which of their bytes are meant. */
struct step {
	uint64_t first_byte;    /* start of the first block */
	uint64_t size_bytes;    /* of the blocks */
	uint64_t payload_bytes; /* those that are meant */
	uint64_t skip_bytes;    /* of the first block, before the payload */
	uint8_t type;           /* enum request_type */
	bool uses_slot;         /* by way of a bounce buffer */
	bool is_partial;        /* a write of less than the blocks */
	bool is_reading;        /* a partial write, before its change */
};

enum transfer_stage {
	STAGE_PLAN,     /* the next step is to be planned */
	STAGE_CLAIM,    /* its blocks are to be claimed */
	STAGE_START,    /* it needs a chain */
	STAGE_SEND,     /* it has a chain */
	STAGE_RETURNED, /* its request came back */
	STAGE_FINISH,
};

enum transfer_place {
	PLACE_WORKER,  /* some thread is at work on it */
	PLACE_PARKED,  /* waits for its claim */
	PLACE_BACKLOG, /* waits for a chain */
	PLACE_DEVICE,  /* the back-end has it */
};

struct transfer {
	/* Set by who makes it, who gets it back by finished(). */
	struct shared_queue *sq;
	uint8_t type;            /* enum request_type */
	bool is_direct;          /* whole blocks need no bounce buffer */
	char *buffer;
	uint64_t timeout_ns;     /* for each step */
	void (*finished)(struct transfer *t);
	void *context;
	struct waiter waiter;
	TAILQ_ENTRY(transfer) sibling;
	uint64_t deadline_ns;    /* atomic: put off by each step */
	/* The holder's. */
	uint64_t offset_bytes;   /* what is left to do; on the disk, so their sum ... */
	uint64_t left_bytes;     /* ... is DISK_MAX_BYTES at most */
	uint64_t done_bytes;
	struct step step;
	enum transfer_stage stage;
	struct request *req;     /* while it has a chain */
	bool has_claim;
	struct claim claim;
	int error;               /* 0 or a positive errno */
	char *sentence;          /* or NULL; freed with the transfer */
	/* Guarded by the queue's lock. */
	enum transfer_place place;
	bool is_cancelled;       /* does not go to the device any more ... */
	char *why_cancelled;     /* ... for this reason; or NULL */
	bool is_orphan;          /* nobody waits for it */
	bool is_held;            /* hold is in the memory's list */
	struct memory_hold hold;
	TAILQ_ENTRY(transfer) link;
};

TAILQ_HEAD(transfer_list, transfer);

static inline uint64_t transfer_deadline_ns(const struct transfer *t)
{
	return __atomic_load_n(&t->deadline_ns, __ATOMIC_RELAXED);
}

/* Plans the next step; a bounce buffer holds slot_bytes. */
void transfer_plan(struct transfer *t, uint32_t block_size, uint64_t slot_bytes);
/* True if the step changes blocks, and so needs a claim on them. */
bool transfer_needs_claim(const struct transfer *t);
/* Before a step's request: what it takes from the program's buffer. */
void transfer_fill(const struct transfer *t, char *slot);
/* After it: what the program's buffer gets, and what is left. */
void transfer_complete_step(struct transfer *t, const char *slot);

/* Keeps code and the sentence for the thread that waits, unless there is an
 * error already. */
void transfer_fail(struct transfer *t, int code, const char *sentence);
/* True while its step moves data between the device and the program's memory. */
bool transfer_lends_memory(const struct transfer *t);
/* What holds memory is freed with the hold, by the memory. */
void transfer_free(struct transfer *t);

#endif
