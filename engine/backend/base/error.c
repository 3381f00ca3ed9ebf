/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps the last error sentence of each thread and writes log lines, each by
 * one write() so that lines of several threads do not mix. Never allocates, and
 * never waits for whoever reads the log.
 */
#include "base/error.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ERROR_BYTES = 512 };

static __thread char sentence[ERROR_BYTES];

int error_record(int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	return code;
}

const char *error_sentence(void)
{
	return sentence;
}

/* ---- the log ------------------------------------------------------------ */

/* A client that errs again and again must not fill a disk. */
enum { LOG_LINES_MAX = 20, LOG_PERIOD_S = 1 };

/* Of the process, under the lock. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static time_t log_period;
static unsigned int log_lines, lines_left_out;

/* Nobody may read a pipe or a terminal. With the lock held there is nobody of
 * ours who could fill it between the two calls. A log that cannot be written
 * has nobody to be reported to. */
static void write_line(int fd, const char *line, size_t length)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	if (poll(&room, 1, 0) == 1 && room.revents & POLLOUT &&
	    write(fd, line, length) < 0)
		return;
}

static void begin_period(int fd)
{
	char line[64];
	struct timespec now;
	int length;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec - log_period < LOG_PERIOD_S)
		return;
	log_period = now.tv_sec;
	log_lines = 0;
	if (!lines_left_out)
		return;
	length = snprintf(line, sizeof(line), "%u lines were left out\n",
			  lines_left_out);
	lines_left_out = 0;
	write_line(fd, line, length);
}

static void write_limited(int fd, const char *line, size_t length)
{
	pthread_mutex_lock(&log_lock);
	begin_period(fd);
	if (log_lines++ < LOG_LINES_MAX)
		write_line(fd, line, length);
	else
		lines_left_out++;
	pthread_mutex_unlock(&log_lock);
}

void log_line(int fd, const char *format, ...)
{
	char line[ERROR_BYTES];
	va_list arguments;
	int length;

	if (fd < 0)
		return;
	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	if ((size_t)length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length] = '\n';
	write_limited(fd, line, length + 1);
}
