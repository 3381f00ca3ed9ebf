/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the engine's counters to stats_file, as one line with a JSON object for each
 * job; see fio/job.h. The job's own thread writes it once, when the job has ended.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "fio/job.h"
#include "fio/notes.h"

int fio_stats_begin(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	struct stat file;
	int code = 0;

	if (fd < 0)
		return error_set(errno, "stats_file=%s cannot be written: %s",
				 path, strerror(errno));
	/* A device, such as /dev/stdout, has no length. */
	if (fstat(fd, &file))
		code = errno;
	else if (S_ISREG(file.st_mode) && fio_is_first_to_open(file.st_dev, file.st_ino) &&
		 ftruncate(fd, 0))
		code = errno;
	close(fd);
	return code ? error_set(code, "stats_file=%s cannot be emptied: %s", path,
				strerror(code)) : 0;
}

static void print_string(FILE *out, const char *name, const char *text)
{
	fprintf(out, "\"%s\":\"", name);
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20)
			fprintf(out, "\\u%04x", *text);
		else
			fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c",
				*text);
	}
	fputc('"', out);
}

static void print_u64(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

/* In seconds since the job began. */
static void print_absences(FILE *out, const struct job_file *file, uint64_t begun_ns)
{
	fprintf(out, ",\"absences\":[");
	for (unsigned int i = 0; i < file->num_absences; i++)
		fprintf(out, "%s[%.3f,%.3f]", i ? "," : "",
			(double)(file->absences[i].from_ns - begun_ns) / NS_PER_S,
			(double)(file->absences[i].to_ns - begun_ns) / NS_PER_S);
	fputc(']', out);
}

/* Nothing if it is not known. Several jobs may be served by one process at the same time, so
 * its CPU time at both ends of the job is told instead of their difference. */
static void print_backend(FILE *out, const struct job_file *file)
{
	uint64_t ended_ns;

	if (!fio_backend_cpu_end(file, &ended_ns))
		return;
	print_u64(out, "backend_pid", (uint64_t)file->server);
	print_u64(out, "backend_cpu_begun_ns", file->server_begun_ns);
	print_u64(out, "backend_cpu_ended_ns", ended_ns);
}

static void print_queue(FILE *out, const struct job_file *file, uint64_t begun_ns)
{
	const struct queue_counters *counters = &file->queue->counters;

	fputc('{', out);
	print_string(out, "socket", file->device->vu.path);
	print_u64(out, "queue", file->queue->index);
	print_u64(out, "queue_size", file->queue->vq.shape.size);
	print_u64(out, "indirect", file->queue->vq.shape.indirect);
	print_u64(out, "event_idx", file->queue->vq.shape.event_idx);
	print_u64(out, "call_suppression", !file->queue->vq.wants_all_calls);
	print_u64(out, "capacity_bytes", file->device->disk.info.capacity_bytes);
	print_u64(out, "page_bytes", file->device->memory->regions[0].page_bytes);
	print_u64(out, "requests", counters->requests);
	print_u64(out, "kicks", counters->kicks);
	print_u64(out, "kicks_suppressed", counters->kicks_suppressed);
	print_u64(out, "kicks_switched", counters->kicks_switched);
	print_u64(out, "errors", counters->errors);
	print_u64(out, "retries", counters->retries);
	print_u64(out, "reconnects", counters->reconnects);
	print_u64(out, "replayed", counters->replayed);
	print_u64(out, "away_ns", counters->away_ns);
	print_u64(out, "longest_away_ns", counters->longest_away_ns);
	print_backend(out, file);
	fprintf(out, ",\"batches\":[");
	for (unsigned int i = 0; i < COUNTERS_BATCHES; i++)
		fprintf(out, "%s%llu", i ? "," : "",
			(unsigned long long)counters->batches[i]);
	fputc(']', out);
	print_absences(out, file, begun_ns);
	fputc('}', out);
}

/* The state and the measurements of wait=adaptive; see wait/adaptive.h. */
static void print_adaptive(FILE *out, const struct wait *wait)
{
	const struct adaptive *adaptive = &wait->adaptive;
	const struct contest *contest = &adaptive->contest;

	fprintf(out, ",\"adaptive\":{");
	print_string(out, "way", adaptive_way_name(contest->best));
	print_u64(out, "adaptive_cpu", adaptive->cpu_percent);
	print_u64(out, "spins", wait->counters.spins);
	print_u64(out, "yields", wait->counters.yields);
	print_u64(out, "trials", contest->trials);
	print_u64(out, "changes", contest->changes);
	print_u64(out, "unsettlings", contest->unsettlings);
	print_u64(out, "rests", adaptive->rests);
	print_u64(out, "late_blocks", adaptive->late_blocks);
	print_u64(out, "arrival_ns", adaptive->arrival.mean_ns);
	print_u64(out, "arrival_spread_ns", adaptive->arrival.spread_ns);
	print_u64(out, "oversleep_mean_ns", adaptive->oversleep.mean_ns);
	print_u64(out, "wake_ns", adaptive_wake_ns(adaptive));
	print_u64(out, "patience_ns", adaptive_patience_ns(adaptive));
	fprintf(out, ",\"ways\":[");
	for (unsigned int i = 0; i < contest->num_ways; i++) {
		fputs(i ? ",{" : "{", out);
		print_string(out, "way", adaptive_way_name(i));
		print_u64(out, "used_ns", contest->ways[i].used_ns);
		fprintf(out, ",\"score\":%.3f}", contest->ways[i].score);
	}
	fprintf(out, "]}");
}

static void print_wait(FILE *out, const struct job *job)
{
	const struct wait_counters *counters = &job->wait.counters;

	fputc(',', out);
	print_string(out, "wait", wait_name(job->choice.kind));
	print_u64(out, "sleepy_poll", job->choice.sleepy_poll_us);
	print_u64(out, "ios", job->reaped);
	print_u64(out, "cpu_ns", clock_cpu_ns() - job->cpu_begun_ns);
	print_u64(out, "looks", counters->looks);
	print_u64(out, "empty_looks", counters->empty_looks);
	print_u64(out, "sleeps", counters->sleeps);
	print_u64(out, "sleep_ns", counters->sleep_ns);
	print_u64(out, "oversleep_ns", counters->oversleep_ns);
	print_u64(out, "polls", counters->polls);
	print_u64(out, "poll_ns", counters->poll_ns);
	print_u64(out, "calls", counters->calls);
	if (job->choice.kind == WAIT_ADAPTIVE)
		print_adaptive(out, &job->wait);
}

static void print_job(FILE *out, const struct job *job)
{
	fputc('{', out);
	print_string(out, "job", job->td->o.name ? job->td->o.name : "");
	print_u64(out, "number", job->td->thread_number);
	print_wait(out, job);
	fprintf(out, ",\"queues\":[");
	for (unsigned int i = 0; i < job->num_files; i++) {
		if (i)
			fputc(',', out);
		print_queue(out, &job->files[i], job->begun_ns);
	}
	fputc(']', out);
	fio_explain_print(out, job);
	fprintf(out, "}\n");
}

/* Removes what was written of a line, so that the others can still be read. A pipe or a
 * device keeps it. */
static void take_back(int fd, size_t written)
{
	struct stat file;

	if (written && !fstat(fd, &file) && S_ISREG(file.st_mode) &&
	    ftruncate(fd, file.st_size - (off_t)written))
		log_err("fio_virtio: the last line of stats_file is cut off: %s\n",
			strerror(errno));
}

/* 0, or an errno. On a disk that is nearly full, write(2) writes a part. */
static int write_all(int fd, const char *text, size_t size)
{
	size_t written = 0;

	while (written < size) {
		ssize_t count = write(fd, text + written, size - written);
		int code = errno;

		if (count >= 0) {
			written += (size_t)count;
		} else if (code != EINTR) {
			take_back(fd, written);
			return code;
		}
	}
	return 0;
}

/* 0, or an errno. Jobs end at the same time, and their lines must not mix. */
static int append(const char *path, const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	int code;

	if (fd < 0)
		return errno;
	flock(fd, LOCK_EX);
	code = write_all(fd, text, size);
	/* Some file systems tell here that a disk or a quota is full. */
	if (close(fd) && !code)
		code = errno;
	return code;
}

/* 0, or an errno. */
static int write_line(const struct job *job, const char *path)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int code;

	if (!out)
		return errno;
	print_job(out, job);
	code = fclose(out) ? errno : append(path, text, size);
	free(text);
	return code;
}

void fio_stats_write(const struct job *job)
{
	const struct options *options = job->td->eo;
	int code = write_line(job, options->stats_file);

	if (code)
		fio_fail(job->td, error_set(code, "stats_file=%s cannot be written: %s",
					    options->stats_file, strerror(code)),
			 "stats_file");
}
