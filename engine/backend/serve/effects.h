/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What faults (fault.h) do to the request that a worker serves.
 */
#ifndef BACKEND_EFFECTS_H
#define BACKEND_EFFECTS_H

#include "serve/worker.h"

/* Returns the faults that apply to a request, and describes it in `what`. Asks the control
 * thread for those that are not the worker's. */
struct fault_effects effects_find(struct worker *worker,
				  const struct served_ring *served,
				  struct operation *what);
/* The answer that faults give a request. */
enum answer effects_answer(uint32_t actions);

#endif
