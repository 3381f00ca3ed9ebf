/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine keeps for one fio job: its devices and queues (one a file),
 * its wait, and the requests on their way to and from fio.
 *
 * A job is there from a successful init to cleanup, and belongs to the job's own
 * thread or process. Setup keeps nothing of a job: fio may call it before init,
 * after init (create_serialize=0), or not at all, and between the two fio forks
 * and changes what it wants (see fio/start.c).
 */
#ifndef FIO_JOB_H
#define FIO_JOB_H

#include "device/device.h"
#include "fio/options.h"
#include "wait/wait.h"

struct job_file {
	struct device *device; /* while the job runs */
	struct queue *queue;
	bool is_reported;      /* its failure was told */
	/* Taken from fio while all chains were in use; a ring of depth entries.
	 * fio is never told BUSY: it fills the buffer anew for a second try, and
	 * its verify then expects other data than was written. */
	struct io_u **backlog;
	unsigned int backlog_first;
	unsigned int backlog_count;
};

struct wait_choice {
	enum wait_kind kind;
	unsigned int sleepy_poll_us;
	unsigned int adaptive_cpu; /* percent of a core */
};

struct job {
	struct thread_data *td;
	struct wait_choice choice;
	unsigned int depth;     /* what fio can have in flight; of the arrays below */
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
	bool has_had_buffers;      /* so it may be in the middle of its run */
	size_t private_bytes;      /* of buffers that the back-end cannot reach */
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

/* Setup, in fio's main thread before any job runs: reads each device's size,
 * checks the job against it, plans what init acquires. Called for a job that runs
 * already it does nothing. 0, or 1 with td's error set and a sentence printed. */
int fio_setup(struct thread_data *td);
/* Makes the job, and acquires its devices and queues, whether setup came before or
 * not. 0, or 1 with td's error set, a sentence printed, and nothing kept. */
int fio_start(struct thread_data *td);
/* fio's open_file, without which it does not use a file: queue, commit, getevents
 * and event may take for granted that the job began with it. */
int fio_open_file(struct thread_data *td, struct fio_file *f);
/* Undoes fio_start(), if it was done. */
void fio_finish(struct thread_data *td);

/* Parts of setup that init needs too. 0, or a negative errno with a sentence. */
/* Checks the engine's options; how the job waits. */
int fio_choose(struct thread_data *td, struct wait_choice *choice);
/* What the job wants of f, by the options that fio has now. */
void fio_fill_config(const struct thread_data *td, const struct fio_file *f,
		     struct device_config *config);
/* Gives f the size of the device, and checks the job against the device. */
int fio_size_file(struct thread_data *td, struct fio_file *f,
		  const struct device_info *info);
/* How many requests a queue can hold at all. */
unsigned int fio_greatest_depth(const struct device_config *config);
/* Asks for queues of that many: it is not known yet how deep jobs will go. */
void fio_deepen(struct device_config *config);
/* Notes that the job, a thread, uses the socket. */
int fio_note_thread(struct thread_data *td, const char *socket);
/* Ends all jobs that use the socket and were noted: it cannot serve all of them,
 * and no half result is to be taken for a whole one. */
void fio_stop_threads_on(const char *socket);

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
