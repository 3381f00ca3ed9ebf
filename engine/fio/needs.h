/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much shared memory the I/O buffers of jobs need. The first thread that begins
 * makes the memory for all that want the same pages, and some back-ends take it only
 * once. So what a job will need is known before it has read its log, and is reserved
 * once.
 */
#ifndef FIO_NEEDS_H
#define FIO_NEEDS_H

#include "fio/compat.h"

/* Reads the job's log for its largest request. */
void needs_measure_log(struct thread_data *td);
/* Notes that the log need not be measured, because more memory can be added later. */
void needs_leave_log(const struct thread_data *td);
bool needs_is_log_known(const struct thread_data *td);

/* For the job's largest request. */
uint64_t needs_request_bytes(const struct thread_data *td);
size_t needs_buffer_bytes(const struct thread_data *td);

/* Notes that memory is planned for the job, and returns how much is new. */
size_t needs_reserve(const struct thread_data *td);
/* The same for this thread, and for all threads that will use the same memory (the same
 * engine and hugepages=) and have no plan. */
size_t needs_reserve_all(const struct thread_data *td);

#endif
