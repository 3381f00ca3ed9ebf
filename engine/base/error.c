/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last error of each thread; see base/error.h. Allocates nothing. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api.h"

static __thread char message[512];

int error_set(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return -code;
}

void error_name(const char *object)
{
	size_t length = strlen(object);
	char sentence[sizeof(message)];

	if (!strncmp(message, object, length))
		return;
	memcpy(sentence, message, sizeof(message));
	snprintf(message, sizeof(message), "%s: %s", object, sentence);
}

const char *error_message(void)
{
	return message;
}
