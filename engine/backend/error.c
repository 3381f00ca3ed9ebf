/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps the last error sentence of each thread and writes log lines, each by
 * one write() so that lines of several threads do not mix. Never allocates.
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
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
	/* A log that cannot be written has nobody to be reported to. */
	if (write(fd, line, length + 1) < 0)
		return;
}
