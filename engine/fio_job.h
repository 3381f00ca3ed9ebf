/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine keeps for one fio job: its devices and queues (one a file),
 * its wait, and the requests on their way to and from fio.
 *
 * Made by setup in fio's main thread, then used by the job's own thread or
 * process alone.
 */
#ifndef FIO_JOB_H
#define FIO_JOB_H

#include "device.h"
#include "fio_options.h"
#include "wait.h"

struct job_file {
	struct device *device; /* while the job runs */
	struct queue *queue;
	bool is_reported;      /* its failure was told */
	/* Taken from fio while all chains were in use; a ring of iodepth entries.
	 * fio is never told BUSY: it fills the buffer anew for a second try, and
	 * its verify then expects other data than was written. */
	struct io_u **backlog;
	unsigned int backlog_first;
	unsigned int backlog_count;
};

struct job {
	struct job *next; /* all jobs of the process, for fio_setup.c */
	struct thread_data *td;
	enum wait_kind wait_kind;
	unsigned int sleepy_poll_us;
	unsigned int adaptive_cpu;  /* percent of a core */
	struct job_file *files; /* by fileno */
	unsigned int num_files;

	struct wait wait;
	struct pollfd *fds;
	struct io_u **submitted;  /* since the last commit */
	unsigned int num_submitted;
	/* What came back: a look takes what there is, however little fio asks for,
	 * and the rest is given to it later without a look. */
	struct io_u **completed;
	unsigned int num_completed;
	unsigned int num_taken; /* of them, by fio's getevents */
	unsigned int num_seen;  /* of those, by fio's event */

	uint64_t reaped;           /* all told */
	uint64_t reaped_before;    /* at the last check */
	uint64_t last_progress_ns; /* 0: not looked at in this wait */
	uint64_t stop_seen_ns;     /* 0: not told to stop */
	uint64_t cpu_begun_ns;     /* CPU time of the job's thread before its run */
	bool is_draining;          /* fio left requests in flight at its end */
	bool has_reset;            /* its logical units, after a time-out */
	bool may_gather;           /* fio comes back at once: see hook_commit() */
};

/* Requests that came back and that fio has not taken yet. */
static inline unsigned int job_num_ready(const struct job *job)
{
	return job->num_completed - job->num_taken;
}

/* Shows the back-ends all that was submitted. */
static inline void job_commit(const struct job *job)
{
	for (unsigned int i = 0; i < job->num_files; i++)
		queue_commit(job->files[i].queue);
}

/* Setup, in fio's main thread: reads each device's size, checks the job
 * against it, plans what init acquires. 0, or 1 with td's error set and a
 * sentence printed. */
int fio_setup(struct thread_data *td);
/* Acquires the devices and queues that were planned. */
int fio_start(struct thread_data *td);
/* Undoes fio_start() and fio_setup(); tolerates what was not done. */
void fio_finish(struct thread_data *td);

/* 0, or a negative errno with a sentence: the job cannot run on f. */
int fio_check_device(struct thread_data *td, const struct fio_file *f,
		     const struct device_info *info);

/* While the job waits: gives up what will not come back. */
void fio_watch(struct thread_data *td, struct job *job);
/* Prints why a queue was abandoned or a request refused, the first time. */
void fio_report_failure(struct job_file *file, const char *why);

/* fio's iomem_alloc and iomem_free. */
int fio_buffers_alloc(struct thread_data *td, size_t bytes);
void fio_buffers_free(struct thread_data *td);

/* Appends the job's counters to stats_file. */
void fio_stats_write(const struct job *job);
/* Empties stats_file before the first job writes to it. */
int fio_stats_begin(const char *path);

/* Prints the calling thread's error sentence, sets td's error. Returns 1. */
int fio_fail(struct thread_data *td, int code, const char *where);

#endif
