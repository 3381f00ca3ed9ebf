/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The faults of requests. A worker enters it with one request; its only system call is the
 * signal to the control thread.
 */
#include "serve/effects.h"

#include <unistd.h>

#include "base/error.h"

static void raise_alarm(struct workers *all,
			const struct fault_effects *effects)
{
	const uint64_t one = 1;

	if (effects->actions & FAULT_BIT(FAULT_DIE))
		shared_write(&all->die_wanted, true);
	if (effects->actions & FAULT_BIT(FAULT_SHRINK))
		shared_write(&all->shrink_wanted, effects->shrink_bytes);
	/* The counter of an eventfd is never full here. */
	if (write(all->alarm_fd, &one, sizeof(one)) < 0)
		log_line(all->log_fd,
			 "fault: the control thread was not signalled");
}

struct fault_effects effects_find(struct worker *worker,
				  const struct served_ring *served,
				  struct operation *what)
{
	struct workers *all = worker->all;
	struct fault_effects effects;
	unsigned int i;

	all->device->ops->describe(served->session, &worker->chain, what);
	effects = faults_for_request(all->faults, what);
	if (likely(!effects.actions))
		return effects;
	for (i = 0; i < FAULT_ON_REQUESTS; i++)
		worker->statistics.faults[i] +=
			effects.actions & FAULT_BIT(i) ? 1 : 0;
	if (effects.actions & (FAULT_BIT(FAULT_DIE) | FAULT_BIT(FAULT_SHRINK)))
		raise_alarm(all, &effects);
	return effects;
}

enum answer effects_answer(uint32_t actions)
{
	if (actions & FAULT_BIT(FAULT_ERROR))
		return ANSWER_ERROR;
	if (actions & FAULT_BIT(FAULT_BUSY))
		return ANSWER_BUSY;
	if (actions & FAULT_BIT(FAULT_TASK_SET_FULL))
		return ANSWER_FULL;
	if (actions & FAULT_BIT(FAULT_CONTROLLER_BUSY))
		return ANSWER_NOT_TAKEN;
	if (actions & FAULT_BIT(FAULT_RECOVERED))
		return ANSWER_RECOVERED;
	return ANSWER_USUAL;
}
