/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads faults from text, and decides which of them apply to a request or a
 * message. serve/serve.c makes the faults of requests (server/server.c makes
 * "die" and "shrink"), and protocol/protocol.c those of messages.
 */
#include "serve/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/quantity.h"
#include "base/text.h"

static const char *const action_names[FAULT_ACTIONS] = {
	[FAULT_ERROR] = "error",
	[FAULT_DELAY] = "delay",
	[FAULT_REORDER] = "reorder",
	[FAULT_LOSE] = "lose",
	[FAULT_TWICE] = "twice",
	[FAULT_BAD_ID] = "bad-id",
	[FAULT_BAD_LENGTH] = "bad-length",
	[FAULT_USED_JUMP] = "used-jump",
	[FAULT_LOST_CALL] = "lost-call",
	[FAULT_SPURIOUS_CALL] = "spurious-call",
	[FAULT_DIE] = "die",
	[FAULT_SHRINK] = "shrink",
	[FAULT_BUSY] = "busy",
	[FAULT_TASK_SET_FULL] = "task-set-full",
	[FAULT_CONTROLLER_BUSY] = "controller-busy",
	[FAULT_RECOVERED] = "recovered",
	[FAULT_WRONG_REPLY] = "wrong-reply",
	[FAULT_SHORT_REPLY] = "short-reply",
	[FAULT_LOSE_REPLY] = "lose-reply",
	[FAULT_HANG_UP] = "hang-up",
};

static const char *const kind_names[OPERATION_KINDS] = {
	[OPERATION_READ] = "read",
	[OPERATION_WRITE] = "write",
	[OPERATION_FLUSH] = "flush",
	[OPERATION_DISCARD] = "discard",
	[OPERATION_WRITE_ZEROES] = "write-zeroes",
	[OPERATION_IDENTIFY] = "identify",
	[OPERATION_COMMAND] = "command",
	[OPERATION_TASK] = "task",
	[OPERATION_UNKNOWN] = "unknown",
};

const char *fault_name(enum fault_action action)
{
	return action_names[action];
}

const char *fault_kind_name(unsigned int kind)
{
	return kind_names[kind];
}

/* Returns the index of `name`, or -EINVAL with a sentence that lists all. */
static int find_name(const char *what, const char *const *names, int count,
		     const char *name)
{
	char words[256];
	struct text known = { words, sizeof(words), 0 };
	int i;

	for (i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return i;
	for (i = 0; i < count; i++)
		text_add(&known, "%s%s", i ? ", " : "", names[i]);
	return error_record(-EINVAL, "%s '%.64s' is unknown: use one of %s", what,
			    name, words);
}

static int parse_sectors(struct fault *fault, char *value)
{
	char *last = strchr(value, '-');
	int result;

	if (!last)
		return error_record(-EINVAL, "sectors=%s: write it as FIRST-LAST",
				    value);
	*last++ = '\0';
	result = quantity_parse_number(value, &fault->first_sector);
	return result ? result :
			quantity_parse_number(last, &fault->last_sector);
}

static int parse_type(struct fault *fault, const char *value)
{
	int kind = find_name("type", kind_names, OPERATION_KINDS, value);

	if (kind < 0)
		return kind;
	fault->kinds = 1u << kind;
	return 0;
}

static int parse_every(struct fault *fault, const char *value)
{
	int result = quantity_parse_number(value, &fault->every);

	if (!result && !fault->every)
		result = error_record(-EINVAL, "every=0: use 1 or more");
	return result;
}

static int parse_pair(struct fault *fault, const char *key, char *value)
{
	if (!strcmp(key, "every"))
		return parse_every(fault, value);
	if (!strcmp(key, "after"))
		return quantity_parse_number(value, &fault->after);
	if (!strcmp(key, "count"))
		return quantity_parse_number(value, &fault->count);
	if (!strcmp(key, "type"))
		return parse_type(fault, value);
	if (!strcmp(key, "sectors"))
		return parse_sectors(fault, value);
	if (!strcmp(key, "message"))
		return quantity_parse_number(value, &fault->message);
	if (!strcmp(key, "request"))
		return quantity_parse_number(value, &fault->request);
	if (!strcmp(key, "for"))
		return quantity_parse_ns(value, &fault->amount);
	if (!strcmp(key, "by"))
		return quantity_parse_number(value, &fault->amount);
	if (!strcmp(key, "to"))
		return quantity_parse_bytes(value, &fault->amount);
	return error_record(-EINVAL, "fault: '%s' is not a key: use type, sectors, "
			    "message, request, after, every, count, for, by or to",
			    key);
}

static int parse_pairs(struct fault *fault, char *pairs)
{
	char *kept, *pair;

	for (pair = strtok_r(pairs, ",", &kept); pair;
	     pair = strtok_r(NULL, ",", &kept)) {
		char *value = strchr(pair, '=');
		int result;

		if (!value)
			return error_record(-EINVAL,
					    "fault: '%s' is not KEY=VALUE",
					    pair);
		*value++ = '\0';
		result = parse_pair(fault, pair, value);
		if (result)
			return result;
	}
	return 0;
}

/* Sets the default of for= or by=. There is no default for to=. */
static int fill_amount(struct fault *fault)
{
	if (fault->amount)
		return 0;
	switch (fault->action) {
	case FAULT_DELAY:
	case FAULT_REORDER:
		fault->amount = 1000000; /* ns */
		return 0;
	case FAULT_USED_JUMP:
		fault->amount = 1000;
		return 0;
	case FAULT_SHRINK:
		return error_record(-EINVAL, "shrink needs to=SIZE");
	default:
		return 0;
	}
}

static int parse_fault(struct fault *fault, char *words)
{
	char *pairs = strchr(words, ':');
	int action, result;

	if (pairs)
		*pairs++ = '\0';
	action = find_name("fault", action_names, FAULT_ACTIONS, words);
	if (action < 0)
		return action;
	*fault = (struct fault){ .action = action,
				 .every = 1,
				 .count = UINT64_MAX,
				 .last_sector = UINT64_MAX,
				 .kinds = UINT32_MAX };
	result = pairs ? parse_pairs(fault, pairs) : 0;
	return result ? result : fill_amount(fault);
}

static int check_device(const struct fault *fault, const struct device_ops *ops)
{
	if (ops->can_be_busy || fault->action < FAULT_BUSY ||
	    fault->action > FAULT_RECOVERED)
		return 0;
	return error_record(-EINVAL, "fault '%s': %s has no such answer",
			    action_names[fault->action], ops->name);
}

static int add_all(struct fault_set *set, const struct device_ops *ops, char *words)
{
	char *kept, *word;

	for (word = strtok_r(words, " ", &kept); word;
	     word = strtok_r(NULL, " ", &kept)) {
		struct fault fault;
		int result = parse_fault(&fault, word);

		if (!result)
			result = check_device(&fault, ops);
		if (!result && set->count == FAULTS_MAX)
			result = error_record(-ENOSPC, "more than %d faults",
					      FAULTS_MAX);
		if (result)
			return result;
		set->faults[set->count++] = fault;
		set->on_requests |= fault.action < FAULT_ON_REQUESTS;
	}
	return 0;
}

int faults_add(struct fault_set *set, const struct device_ops *ops, const char *words)
{
	struct fault_set grown = *set;
	char *copy = strdup(words);
	int result;

	if (!copy)
		return error_record(-ENOMEM, "fault: no memory");
	result = add_all(&grown, ops, copy);
	free(copy);
	if (!result)
		*set = grown;
	return result;
}

void faults_clear(struct fault_set *set)
{
	*set = (struct fault_set){ 0 };
}

/* Counts a match and returns whether the fault applies to it. Several workers
 * may count at the same time. */
static bool fault_applies(struct fault *fault)
{
	uint64_t matched =
		__atomic_add_fetch(&fault->matched, 1, __ATOMIC_RELAXED);

	if (matched <= fault->after ||
	    (matched - fault->after) % fault->every ||
	    shared_read(&fault->applied) >= fault->count)
		return false;
	__atomic_add_fetch(&fault->applied, 1, __ATOMIC_RELAXED);
	return true;
}

static uint64_t random_below(uint64_t limit)
{
	static __thread uint64_t state = 88172645463325252u;

	/* xorshift64: the sequence only has to be the same in each run. */
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % limit;
}

static void effects_add(struct fault_effects *effects, const struct fault *fault)
{
	effects->actions |= FAULT_BIT(fault->action);
	switch (fault->action) {
	case FAULT_DELAY:
		effects->delay_ns += fault->amount;
		break;
	case FAULT_REORDER:
		effects->delay_ns += random_below(fault->amount);
		break;
	case FAULT_USED_JUMP:
		effects->jump = fault->amount;
		break;
	case FAULT_SHRINK:
		effects->shrink_bytes = fault->amount;
		break;
	default:
		break;
	}
}

static bool hits_request(const struct fault *fault,
			 const struct operation *what)
{
	uint64_t sectors = what->data_bytes / SECTOR_BYTES;
	uint64_t last = what->sector + (sectors ? sectors - 1 : 0);

	return fault->action < FAULT_ON_REQUESTS &&
	       fault->kinds & (1u << what->kind) &&
	       what->sector <= fault->last_sector &&
	       last >= fault->first_sector;
}

struct fault_effects faults_for_request(struct fault_set *set,
					const struct operation *what)
{
	struct fault_effects effects = { 0 };
	unsigned int i;

	for (i = 0; i < set->count; i++)
		if (hits_request(&set->faults[i], what) &&
		    fault_applies(&set->faults[i]))
			effects_add(&effects, &set->faults[i]);
	return effects;
}

struct fault_effects faults_for_message(struct fault_set *set, uint64_t number,
					uint32_t request)
{
	struct fault_effects effects = { 0 };
	unsigned int i;

	for (i = 0; i < set->count; i++) {
		struct fault *fault = &set->faults[i];

		if (fault->action >= FAULT_ON_REQUESTS &&
		    (!fault->message || fault->message == number) &&
		    (!fault->request || fault->request == request) &&
		    fault_applies(fault))
			effects_add(&effects, fault);
	}
	return effects;
}
