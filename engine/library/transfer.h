/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A transfer is one call of a program: any bytes at any offset. It is cut into
 * steps of whole blocks. A step is one request, or two (read, then write back) if it
 * changes only a part of a block.
 *
 * This file only calculates and copies; it takes no lock. Only the
 * thread that holds the transfer (see library/shared_queue.h) calls.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include "disk/request.h"
#include "library/cursor.h"
#include "library/poller.h"
#include "library/range_lock.h"
#include "memory/regions.h"

struct shared_queue;
struct transfer_list;
struct finished_list;

/* Whole blocks on the disk, and the bytes of them that the program wants: the
 * payload. */
struct step {
	uint64_t first_byte;    /* start of the first block */
	uint64_t size_bytes;    /* of the blocks */
	uint64_t payload_bytes;
	uint64_t skip_bytes;    /* in the first block, before the payload */
	uint8_t type;           /* enum request_type */
	bool uses_slot;         /* it moves through a bounce buffer */
	bool is_partial;        /* a write whose payload is less than the blocks */
	bool is_reading;        /* a partial write that has to read its blocks first */
};

enum transfer_stage {
	STAGE_PLAN,     /* the next step must be planned */
	STAGE_CLAIM,    /* the step's blocks must be claimed, if it changes them */
	STAGE_START,    /* the step needs a descriptor chain */
	STAGE_SEND,     /* the step has a chain, or waits for one in the backlog */
	STAGE_RETURNED, /* the request is with the device, or came back */
	STAGE_FINISH,
};

enum transfer_place {
	PLACE_WORKER,  /* a thread is working on it */
	PLACE_PARKED,  /* it waits for its claim */
	PLACE_BACKLOG, /* it waits for a chain */
	PLACE_DEVICE,  /* the back-end has it */
	PLACE_DIVIDED, /* its helpers carry it out; see library/division.h */
};

/* What a whole transfer uses comes first. Together with what struct submission has before
 * it, this fills two cache lines. */
struct transfer {
	void *context;           /* of its maker */
	STAILQ_ENTRY(transfer) next; /* once it has finished */
	struct request *req;     /* while it has a chain */
	uint64_t deadline_ns;    /* atomic: each completed step puts it off */
	uint64_t offset_bytes;   /* of what is left to do */
	uint64_t left_bytes;     /* offset + left: DISK_MAX_BYTES at most */
	struct cursor cursor;    /* the program's memory; at is NULL if there is none */
	uint32_t lent;           /* of device_lend(): returned before it ends */
	/* Guarded by the queue's lock. */
	enum transfer_place place;
	bool is_whole;           /* see transfer_be_whole() */
	bool is_cancelled;       /* no further request of it goes to the device */
	bool is_detached;        /* nobody waits for it: it is freed, not finished() */
	bool is_kept;            /* ... but freed only once this is false */
	bool is_held;            /* hold is in the memory's list */
	/* Used by the thread that holds the transfer. */
	bool is_finished_locked;
	bool has_claim;
	uint8_t type;            /* enum request_type */
	bool is_direct;          /* whole blocks need no bounce buffer */
	bool needs_flush;        /* after its last step on data */
	enum transfer_stage stage;
	int error;               /* 0 or a positive errno */
	/* Set by the maker of the transfer, who gets it back with finished(). This takes
	 * the first transfer of done, and can take those behind it that have the same
	 * finished(). It may append other transfers to work. With is_finished_locked, it
	 * is called with the queue's lock held, else with no lock held. */
	void (*finished)(struct finished_list *done, struct transfer_list *work);
	struct shared_queue *sq;
	void *block;             /* what to free; it contains the transfer */
	uint64_t timeout_ns;     /* for each step */
	uint64_t done_bytes;
	struct step step;
	/* Guarded by the queue's lock. */
	TAILQ_ENTRY(transfer) link;
	struct memory_hold hold;
	TAILQ_HEAD(, transfer) helpers; /* while it is divided */
	TAILQ_ENTRY(transfer) sibling;  /* of a helper */
	uint64_t failed_byte;    /* where the first of them failed */
	char *why_cancelled;     /* the sentence for that; may be NULL */
	/* Used by the thread that holds the transfer. */
	char *sentence;          /* may be NULL; freed with the transfer */
	struct claim claim;
	struct waiter waiter;    /* of a call that waits */
};

TAILQ_HEAD(transfer_list, transfer);
/* Transfers that have finished; the next thing that happens to each is finished(). */
STAILQ_HEAD(finished_list, transfer);

/* Moves the first transfers of from, up to last, to the end of to. */
static inline void finished_move(struct finished_list *from, struct transfer *last,
				 struct finished_list *to)
{
	*to->stqh_last = STAILQ_FIRST(from);
	to->stqh_last = &STAILQ_NEXT(last, next);
	STAILQ_FIRST(from) = STAILQ_NEXT(last, next);
	STAILQ_NEXT(last, next) = NULL;
	if (STAILQ_EMPTY(from))
		STAILQ_INIT(from);
}

static inline uint64_t transfer_deadline_ns(const struct transfer *t)
{
	return __atomic_load_n(&t->deadline_ns, __ATOMIC_RELAXED);
}

static inline void transfer_set_deadline(struct transfer *t, uint64_t deadline_ns)
{
	__atomic_store_n(&t->deadline_ns, deadline_ns, __ATOMIC_RELAXED);
}

/* True if no step is left. */
static inline bool transfer_is_complete(const struct transfer *t)
{
	return !t->left_bytes && !t->needs_flush;
}

/* True if one step can move size_bytes between the disk and a buffer that needs no
 * bounce buffer. */
static inline bool transfer_can_be_whole(uint64_t offset_bytes, uint64_t size_bytes,
					 uint32_t block_size)
{
	uint64_t last_byte = offset_bytes + size_bytes - 1;

	return !((offset_bytes | size_bytes) & (block_size - 1)) &&
	       size_bytes - 1 < RANGE_LOCK_STRETCH_BYTES &&
	       (offset_bytes ^ last_byte) < RANGE_LOCK_STRETCH_BYTES;
}

/* Makes t such a transfer, as most are. While it is whole, neither its step nor the rest of
 * its cursor is filled in, because it is usually sent and done without them. A whole
 * transfer that has finished has moved all its bytes. */
static inline void transfer_be_whole(struct transfer *t, uint8_t type, void *buffer,
				     uint64_t offset_bytes, uint64_t size_bytes)
{
	t->is_whole = true;
	t->type = type;
	t->cursor.at = buffer;
	t->offset_bytes = offset_bytes;
	t->left_bytes = size_bytes;
}

/* If t is whole: makes it like any other transfer that the device has, or, with
 * transfer_unsend(), that is planned but has no chain. */
void transfer_spread(struct transfer *t);
void transfer_unsend(struct transfer *t);
/* Plans the next step; a bounce buffer has slot_bytes, and a request that moves no data
 * is for range_bytes at most. */
void transfer_plan(struct transfer *t, uint32_t block_size, uint64_t slot_bytes,
		   uint64_t range_bytes);
/* The same, with the values of its queue. */
void transfer_plan_next(struct transfer *t);
/* The step is planned: fills in the claim, and sets the next stage. */
void transfer_note_planned(struct transfer *t);
/* Fills in the claim of the step, if it changes blocks. */
void transfer_fill_claim(struct transfer *t);
/* True if the step changes blocks, so that it needs a claim on them. */
bool transfer_needs_claim(const struct transfer *t);
/* Before a step is sent: fills the bounce buffer if the step writes through one. */
void transfer_fill(const struct transfer *t, char *slot);
/* After a step: copies what was read to the program's buffer, if it was bounced, and
 * updates what is left to do. */
void transfer_complete_step(struct transfer *t, const char *slot);

/* The planned step is carried out elsewhere: continues behind it. */
void transfer_skip_step(struct transfer *t);

/* Keeps code (a positive errno) and a copy of the sentence, which may be NULL, unless
 * there is an error already. */
void transfer_fail(struct transfer *t, int code, const char *sentence);
/* True if a step of it may move data between the device and the program's memory
 * directly. */
bool transfer_may_lend(const struct transfer *t);
/* True if its step moves data between the device and the program's memory directly. */
bool transfer_lends_memory(const struct transfer *t);
/* For a transfer that ends although the back-end may still write to the program's memory. */
void transfer_hold_memory(struct transfer *t);
void transfer_release_memory(struct transfer *t);
/* The program may unregister the memory that t used directly. */
void transfer_return_memory(struct transfer *t);
/* True if t can be prepared again after it has finished. If it was cancelled or failed,
 * it may hold memory, and it has sentences. */
static inline bool transfer_is_reusable(const struct transfer *t)
{
	return t->is_whole || (!t->error && !t->is_cancelled);
}

/* Frees t. But if t still holds memory, the memory frees it together with the hold. */
void transfer_free(struct transfer *t);

#endif
