/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults that the back-end plays on demand.
 *
 * A fault is written ACTION or ACTION:KEY=VALUE,KEY=VALUE. Which requests it
 * hits: every=N (each Nth that matches), after=N (not the first N), count=N
 * (so many times, then no more), type=read|write|flush|discard|write-zeroes|
 * identify|command|task, sectors=FIRST-LAST (of 512 bytes). Which messages:
 * message=N (the Nth of a connection), request=NUMBER, and every, after, count.
 *
 *   on requests  error, delay:for=TIME, reorder:for=TIME, lose, twice, bad-id,
 *                bad-length, used-jump:by=N, lost-call, spurious-call, die,
 *                shrink:to=SIZE
 *   on messages  wrong-reply, short-reply, lose-reply, hang-up
 *
 * The control thread adds and clears faults while the workers are parked;
 * workers ask about each request, and only if there is a fault for requests.
 */
#ifndef BACKEND_FAULT_H
#define BACKEND_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"

enum fault_action {
	FAULT_ERROR,
	FAULT_DELAY,
	FAULT_REORDER, /* a random delay, so that later requests overtake */
	FAULT_LOSE,    /* taken, and never carried out nor completed */
	FAULT_TWICE,
	FAULT_BAD_ID,
	FAULT_BAD_LENGTH,
	FAULT_USED_JUMP,
	FAULT_LOST_CALL,
	FAULT_SPURIOUS_CALL,
	FAULT_DIE,
	FAULT_SHRINK,
	FAULT_ON_REQUESTS, /* how many of the above */
	FAULT_WRONG_REPLY = FAULT_ON_REQUESTS,
	FAULT_SHORT_REPLY,
	FAULT_LOSE_REPLY,
	FAULT_HANG_UP,
	FAULT_ACTIONS
};

#define FAULT_BIT(action) (1u << (action))

enum { FAULTS_MAX = 32 };

struct fault {
	enum fault_action action;
	uint64_t every, after, count; /* 1, 0, UINT64_MAX unless told */
	uint64_t first_sector, last_sector;
	uint32_t kinds;	 /* bit set of operation kinds */
	uint64_t amount; /* for=, by=, to= */
	uint64_t message; /* 0: any */
	uint64_t request; /* 0: any */
	uint64_t matched, played; /* written by workers: atomic */
};

struct fault_set {
	struct fault faults[FAULTS_MAX];
	unsigned int count;
	bool on_requests;
};

/* What is to happen to one request or message. */
struct verdict {
	uint32_t actions; /* FAULT_BIT()s */
	uint64_t delay_ns;
	uint64_t jump;
	uint64_t shrink_bytes;
};

/* `words` is one fault, or several with blanks between. */
int faults_add(struct fault_set *set, const char *words);
void faults_clear(struct fault_set *set);

struct verdict faults_judge_request(struct fault_set *set,
				    const struct operation *what);
struct verdict faults_judge_message(struct fault_set *set, uint64_t number,
				    uint32_t request);

const char *fault_name(enum fault_action action);

#endif
