/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that looks at the used rings of a job all the time, and notes when a request is in
 * one. So users of explain=N see when a back-end that takes no times itself had completed a
 * request, and not only when fio's thread found it.
 *
 * It only reads the rings. The job's thread makes all calls, and stops the watcher before the
 * memory of the queues goes away.
 */
#ifndef USED_WATCHER_H
#define USED_WATCHER_H

#include <stdint.h>

struct used_watcher;
struct virtq;

/* Starts it on this CPU, for the virtqueue of each file. The array may go away; the virtqueues
 * must stay. 0, or a negative errno with a sentence. */
int used_watcher_start(struct used_watcher **watcher, const struct virtq *const *files,
		       unsigned int num_files, unsigned int cpu);
/* Ends the thread and frees all. NULL is allowed. */
void used_watcher_stop(struct used_watcher *watcher);
/* The ticks at which it last saw this chain of the file's queue in the used ring; 0: never since
 * that used index. A watcher that lost its CPU can see an earlier use of the chain late.
 * The back-end writes the ring, so this may be any of the watcher's times. */
uint64_t used_watcher_saw(const struct used_watcher *watcher, unsigned int file,
			  uint16_t chain, uint16_t since);

#endif
