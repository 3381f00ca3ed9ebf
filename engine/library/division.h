/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Divides a transfer that needs several steps among helpers, so that its steps are in
 * flight together. A helper is a transfer of one step on the same queue. When it has
 * finished, it takes the next step; the last helper to finish gives the transfer back to
 * work. A transfer that moves data directly is not divided, so helpers never lend memory
 * of the program.
 *
 * If several steps fail, the error of the lowest offset counts. After an error no further
 * step begins.
 *
 * Any thread may call. The lock of the queue guards a divided transfer.
 */
#ifndef DIVISION_H
#define DIVISION_H

#include "library/shared_queue.h"

/* Called with a planned transfer that is in no list, and without the lock. Returns false
 * if t carries out the step itself. Otherwise its helpers were appended to work, and t
 * belongs to them. */
bool division_begin(struct transfer *t, struct transfer_list *work);

#endif
