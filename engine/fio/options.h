/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's options. fio parses them and fills in one structure for each job before
 * any hook runs.
 */
#ifndef FIO_OPTIONS_H
#define FIO_OPTIONS_H

#include "fio/compat.h"

enum trim {
	TRIM_AUTO,
	TRIM_DISCARD,
	TRIM_WRITE_ZEROES,
};

struct options {
	void *td; /* fio's: it stores the job here */
	unsigned int device;
	unsigned int wait; /* enum wait_kind */
	unsigned int sleepy_poll_us;
	unsigned int sleepy_poll_set;
	unsigned int adaptive_cpu;
	unsigned int adaptive_cpu_set;
	unsigned int scsi_target;
	unsigned int scsi_lun;
	unsigned int scsi_address_set;
	unsigned int trim; /* enum trim */
	unsigned int queue_size;
	unsigned int num_queues;
	unsigned int call_suppression;
	unsigned int event_idx;
	unsigned int indirect;
	unsigned int hugepages;
	unsigned int hugepage_mem_mib;
	unsigned int connect_timeout_s;
	unsigned int request_timeout_s;
	unsigned int reconnect_timeout_s;
	char *stats_file;
	unsigned int explain;
	char *explain_watch;
};

extern struct fio_option fio_options[];

/* Checks what fio's parser does not refuse: negative numbers, and options of fio that the
 * engine cannot carry out. Says which options of fio have no effect. 0, or -EINVAL with
 * a sentence. */
int fio_options_check(struct thread_data *td);
/* Its parts for the options of fio. */
int fio_refuse_promises(struct thread_data *td);
void fio_note_promises(struct thread_data *td);
/* From now on sentences name the options of fio, not the arguments of the library. */
void fio_name_remedies(void);

#endif
