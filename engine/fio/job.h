/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of one fio job: its devices and queues (one for each file), its wait, and
 * the requests between fio and the back-end.
 *
 * A struct job exists from a successful init to cleanup, and belongs to the job's own
 * thread or process. Setup does not make one, because fio may call it before init,
 * after init (create_serialize=0), or not at all, and because between the two fio may
 * fork and change the job's options (see fio/start.c).
 */
#ifndef FIO_JOB_H
#define FIO_JOB_H

#include "device/device.h"
#include "fio/options.h"
#include "wait/wait.h"

/* A time without a back-end. */
struct absence {
	uint64_t from_ns;
	uint64_t to_ns;
};

struct job_file {
	struct device *device; /* while the job runs */
	struct queue *queue;
	enum request_type trim_type; /* which request a trim becomes */
	bool flushes_writes;   /* sync=1: see fio_flush_writes() */
	bool is_reported;      /* its failure was printed */
	bool is_busy;          /* it is in job->busy */
	int watched_fd;        /* its connection; -1 while the back-end is away */
	struct absence *absences; /* in the order of time; the first thousand */
	unsigned int num_absences;
	pid_t server;          /* that serves the file when the job begins; 0: not known */
	uint64_t server_start;    /* when it was started; numbers of processes are used again */
	uint64_t server_begun_ns; /* its CPU time then */
	/* Requests that fio queued while all chains were in use; a ring of depth
	 * entries. fio never gets BUSY, because it would fill the buffer again for
	 * the second try, and its verify would then expect other data. */
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
	unsigned int depth;     /* fio's iodepth; the size of the arrays below */
	struct job_file *files; /* by fileno */
	unsigned int num_files;
	/* Those with requests in flight, and some that had them before the last look. */
	struct job_file **busy;
	unsigned int num_busy;
	bool must_publish; /* the next commit considers all that are busy */

	struct wait wait;
	struct pollfd *fds; /* of the busy files, while the job blocks */
	struct io_u **submitted;  /* since the last commit */
	unsigned int num_submitted;
	/* Requests that came back. A look takes all that there are, even if fio asks
	 * for fewer; fio gets the others later without another look. */
	struct io_u **completed;
	unsigned int num_completed;
	unsigned int num_taken; /* of them, by fio's getevents */
	unsigned int num_seen;  /* of those, by fio's event */

	uint64_t reaped;           /* requests that came back, in total */
	uint64_t returned_before;  /* the same at the last check, with those sent again */
	uint64_t last_progress_ns; /* 0: not checked in this wait */
	uint64_t longest_gap_ns;   /* the longest wait that brought no completion */
	uint64_t begun_ns;
	uint64_t stop_seen_ns;     /* 0: the run is not over */
	uint64_t grace_s;          /* how long requests may take after that */
	bool is_stop_asked;        /* fio has marked the job */
	unsigned int signals_before; /* counted by then; see fio/signals.h */
	uint64_t cpu_begun_ns;     /* CPU time of the job's thread before its run */
	bool is_away;              /* a back-end hung up and is waited for */
	bool is_draining;          /* fio left requests in flight at its end */
	bool has_reset;            /* its logical units were reset after a time-out */
	bool may_gather;           /* fio makes no pauses: see hook_commit() */
	bool has_had_buffers;      /* so it may be in the middle of its run */
	size_t private_bytes;      /* of buffers that the back-end cannot reach */
	struct explain *explain;   /* NULL without explain=; see fio_explain_begin() */
};

/* Requests that came back and that fio has not taken yet. */
static inline unsigned int job_num_ready(const struct job *job)
{
	return job->num_completed - job->num_taken;
}

/* The number of requests that the back-ends have not completed. */
static inline unsigned int job_num_in_flight(const struct job *job)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < job->num_busy; i++)
		count += queue_in_flight(job->busy[i]->queue);
	return count;
}

/* Publishes all submitted requests to the back-ends. */
static inline void job_commit(const struct job *job)
{
	for (unsigned int i = 0; i < job->num_busy; i++)
		queue_commit(job->busy[i]->queue);
}

/* fio's setup hook, in fio's main thread before any job runs. Reads the size of each
 * device, checks the job against it, and plans the devices that init acquires. Does
 * nothing if the job runs already. 0, or 1 with td's error set and a sentence printed. */
int fio_setup(struct thread_data *td);
/* Makes the job and acquires its devices and queues; setup need not have been called.
 * 0, or 1 with td's error set, a sentence printed, and everything given back. */
int fio_start(struct thread_data *td);
/* fio's open_file hook. fio opens a file before it uses it, so queue, commit, getevents
 * and event may rely on the job having begun with that file. */
int fio_open_file(struct thread_data *td, struct fio_file *f);
/* Undoes fio_start(). Does nothing if there is no job. */
void fio_finish(struct thread_data *td);

/* Parts of setup that init needs too. 0, or a negative errno with a sentence. */
/* Checks the engine's options, and chooses the way of waiting. */
int fio_choose(struct thread_data *td, struct wait_choice *choice);
/* Fills in the configuration of f's device from the job's present options. */
void fio_fill_config(const struct thread_data *td, const struct fio_file *f,
		     struct device_config *config);
/* Appends the remedy for a back-end that serves only one client. Returns code. */
int fio_explain_unreachable(const struct thread_data *td, const struct fio_file *f,
			    int code);
/* Gives f the size of the device, and checks the job against the device. */
int fio_size_file(struct thread_data *td, struct fio_file *f,
		  const struct device_info *info);
/* The most requests that a queue with this configuration can hold. */
unsigned int fio_greatest_depth(const struct device_config *config);
/* Sets the depth to that, because the iodepth of the jobs is not known yet. */
void fio_deepen(struct device_config *config);
/* Notes that the job, a thread, uses the socket. */
int fio_note_thread(struct thread_data *td, const char *socket);
/* Ends all noted jobs that use the socket. The back-end cannot serve all of them, and
 * the result of some jobs must not look like the result of all. */
void fio_stop_threads_on(const char *socket);

/* 0, or a negative errno with a sentence: the job cannot run on f. */
int fio_check_device(struct thread_data *td, const struct fio_file *f,
		     const struct device_info *info);
/* Its part that checks sizes and offsets against the device's block size. */
int fio_check_alignment(struct thread_data *td, const struct fio_file *f,
			const struct device_info *info);

/* Submits io_u to file's queue, which has a free chain. 0, or a positive errno with a
 * sentence. */
int fio_submit(const struct job_file *file, struct io_u *io_u);
/* Takes back what the back-ends have completed. The number that is ready for fio. */
unsigned int fio_look(struct job *job);
/* Prepares the job's wait, whose eventfds and connections are open. */
void fio_open_wait(struct job *job);

/* Whether fio relies on io_u being carried out when queue() returns. */
bool fio_is_at_once(const struct thread_data *td, const struct io_u *io_u);
/* Waits for io_u, which was submitted to file's queue. What comes back meanwhile stays for
 * getevents. */
enum fio_q_status fio_finish_at_once(struct thread_data *td, struct job_file *file,
				     struct io_u *io_u);

/* Waits until so many requests have come back that fio has not taken, or until the time
 * is over; NULL: it has no limit. Then some requests may have failed. */
void fio_wait_for(struct thread_data *td, struct job *job, unsigned int min,
		  const struct timespec *timeout);
/* Makes room among the completed requests by dropping those that fio has seen. */
void fio_forget_seen(struct job *job);
/* Checks, while the job waits, for requests that will not come back, and abandons
 * their queues. */
void fio_watch(struct thread_data *td, struct job *job);
/* The sentence that says why req failed; see queue_explain(). The reason may be that the disk
 * shrank. */
const char *fio_explain(const struct job_file *file, const struct request *req);
/* fio's terminate hook: fio has marked the job td. Async-signal-safe; in any process. */
void fio_watch_terminate(struct thread_data *td);
/* The wait in which fio_watch() was called is over. */
void fio_watch_end(struct job *job);
/* Prints why a queue was abandoned or a request refused, the first time. */
void fio_report_failure(struct job_file *file, const char *why);

/* Whether the device can carry out the job's trims: 0, or a negative errno with a
 * sentence. */
int fio_check_trims(const struct thread_data *td, const struct fio_file *f,
		    const struct device_info *info);
/* Chooses the request that a trim becomes, and says once if it is not the usual one. */
enum request_type fio_choose_trim(const struct thread_data *td, const struct fio_file *f,
				  const struct device_info *info);

/* True if the job wants each write to be stable before it is complete (sync=1), and the
 * device does not do that by itself. */
bool fio_flushes_writes(const struct thread_data *td, const struct device_info *info);
/* Sends a flush after each successful write of the finished requests in done. Moves the
 * others to its beginning, and returns their number. */
unsigned int fio_flush_writes(struct job *job, struct job_file *file,
			      struct request **done, unsigned int count);

/* fio's iomem_alloc and iomem_free. */
int fio_buffers_alloc(struct thread_data *td, size_t bytes);
void fio_buffers_free(struct thread_data *td);

/* Notes the process that serves the file, and its CPU time, when the job begins. */
void fio_backend_cpu_begin(struct job_file *file);
/* Its CPU time now; false if it is not known, or if another process serves the file. */
bool fio_backend_cpu_end(const struct job_file *file, uint64_t *ended_ns);

/* Appends the job's counters to stats_file. */
void fio_stats_write(const struct job *job);
/* Empties stats_file, unless another job of this run of fio has done so. */
int fio_stats_begin(const char *path);

/* With explain=N, at the end of init: gives the job hooks that take times of one request in N.
 * 0, or 1 with td's error set and a sentence printed. */
int fio_explain_begin(struct thread_data *td);
/* Adds the member "explain" to the job's line of stats_file, if there are times. */
void fio_explain_print(FILE *out, const struct job *job);
/* Gives the job its usual hooks back, if it has others, and ends the thread that watches its
 * used rings, if there is one. */
void fio_explain_end(struct thread_data *td, struct job *job);

/* Prints the calling thread's error sentence, sets td's error. Returns 1. */
int fio_fail(struct thread_data *td, int code, const char *where);

#endif
