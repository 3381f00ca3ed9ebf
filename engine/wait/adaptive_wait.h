/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries out wait=adaptive: takes the steps that wait/adaptive.h names, and reports
 * how they went. Only wait_until() calls it.
 */
#ifndef WAIT_ADAPTIVE_H
#define WAIT_ADAPTIVE_H

#include "wait/wait.h"

unsigned int wait_adaptive(struct wait *wait, unsigned int min, unsigned int found,
			   uint64_t deadline_ns);

#endif
