/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wait=adaptive, carried out: takes the steps that wait/adaptive.h names, and tells
 * it how they went. Called by wait_until() alone.
 */
#ifndef WAIT_ADAPTIVE_H
#define WAIT_ADAPTIVE_H

#include "wait/wait.h"

unsigned int wait_adaptive(struct wait *wait, unsigned int min, unsigned int found,
			   uint64_t deadline_ns);

#endif
