/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps the last error sentence of each thread, and writes log lines. Each line
 * is one write(), so the lines of several threads do not mix. This code never
 * allocates, and it never waits for the reader of the log.
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

/* A client that repeats its errors must not fill a disk with log lines. */
enum { LOG_LINES_MAX = 20, LOG_PERIOD_S = 1 };

/* Shared by all threads of the process, under log_lock. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static time_t log_period;
static unsigned int log_lines, dropped_lines;

/* A pipe or terminal may have no reader, so poll() asks for room first. Because
 * log_lock is held, no other thread fills it between the two calls. A failed
 * write is ignored, because there is no other place to report it. */
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
	if (!dropped_lines)
		return;
	length = snprintf(line, sizeof(line), "%u log lines were dropped\n",
			  dropped_lines);
	dropped_lines = 0;
	write_line(fd, line, length);
}

static void write_limited(int fd, const char *line, size_t length)
{
	pthread_mutex_lock(&log_lock);
	begin_period(fd);
	if (log_lines++ < LOG_LINES_MAX)
		write_line(fd, line, length);
	else
		dropped_lines++;
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
