/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults that the back-end makes on demand.
 *
 * A fault is written as ACTION or ACTION:KEY=VALUE,KEY=VALUE. These keys select
 * the requests of a fault: type=read|write|flush|discard|write-zeroes|identify|
 * command|task|unknown, sectors=FIRST-LAST (of 512 bytes). These keys select
 * the messages: message=N (the Nth of a connection), request=NUMBER. Of all
 * that match: after=N (not the first N), every=N (each Nth), count=N (N times).
 *
 *   on requests  error, delay:for=TIME, reorder:for=TIME, lose, twice, bad-id,
 *                bad-length, used-jump:by=N, lost-call, spurious-call, die,
 *                shrink:to=SIZE
 *   only scsi    busy, task-set-full (the status of the disk), controller-busy
 *                (the response of the controller): the request is not carried
 *                out; recovered: it is, and the disk reports RECOVERED ERROR
 *   on messages  wrong-reply, short-reply, lose-reply, hang-up
 *
 * The control thread adds and clears faults while the workers are parked. If
 * there is a fault on requests, workers call faults_for_request() for each.
 */
#ifndef BACKEND_FAULT_H
#define BACKEND_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"

enum fault_action {
	FAULT_ERROR,
	FAULT_DELAY,
	FAULT_REORDER, /* a random delay, so later requests overtake it */
	FAULT_LOSE,    /* taken, but neither carried out nor completed */
	FAULT_TWICE,
	FAULT_BAD_ID,
	FAULT_BAD_LENGTH,
	FAULT_USED_JUMP,
	FAULT_LOST_CALL,
	FAULT_SPURIOUS_CALL,
	FAULT_DIE,
	FAULT_SHRINK,
	FAULT_BUSY,
	FAULT_TASK_SET_FULL,
	FAULT_CONTROLLER_BUSY,
	FAULT_RECOVERED,
	FAULT_ON_REQUESTS, /* the number of faults above */
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
	uint64_t every, after, count; /* by default 1, 0, UINT64_MAX */
	uint64_t first_sector, last_sector;
	uint32_t kinds;	 /* bit set of operation kinds */
	uint64_t amount; /* for=, by=, to= */
	uint64_t message; /* 0: any */
	uint64_t request; /* 0: any */
	uint64_t matched, applied; /* workers write these, so they are atomic */
};

struct text;

struct fault_set {
	struct fault faults[FAULTS_MAX];
	unsigned int count;
	bool on_requests;
};

/* The faults of one request or message. */
struct fault_effects {
	uint32_t actions; /* FAULT_BIT()s */
	uint64_t delay_ns;
	uint64_t jump;
	uint64_t shrink_bytes;
};

/* Adds the faults in `words`, which are separated by spaces, or none of them if
 * one is wrong, or if the device cannot have it. Returns 0 or a negative errno. */
int faults_add(struct fault_set *set, const struct device_ops *ops,
	       const char *words);
void faults_clear(struct fault_set *set);
/* fault_list.c: writes the faults as a JSON array. */
void faults_print(const struct fault_set *set, struct text *text);

/* The faults that apply to a request, or to the Nth message of a connection. */
struct fault_effects faults_for_request(struct fault_set *set,
					const struct operation *what);
struct fault_effects faults_for_message(struct fault_set *set, uint64_t number,
					uint32_t request);

const char *fault_name(enum fault_action action);
/* A kind of request, enum operation_kind. */
const char *fault_kind_name(unsigned int kind);

#endif
