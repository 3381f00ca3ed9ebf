/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of a job with read_iolog=, when fio has read it, or its first chunk. Requests
 * of later chunks are checked one by one, when they are submitted.
 */
#ifndef FIO_REPLAY_H
#define FIO_REPLAY_H

#include "fio/job.h"

/* Corrects or refuses what fio would crash at. 0, or a negative errno with a sentence. */
int replay_check_log(struct thread_data *td, unsigned int num_files);
/* Refuses requests that do not fit the devices. 0, or a negative errno with a
 * sentence. */
int replay_check_ends(const struct job *job);

#endif
