/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last error of each thread; see base/error.h. Allocates nothing. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api.h"

static __thread char message[sizeof(struct error_kept)];

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
	error_set(0, "%s: %s", object, sentence);
}

struct error_kept error_keep(void)
{
	struct error_kept kept;

	memcpy(kept.sentence, message, sizeof(message));
	return kept;
}

void error_restore(const struct error_kept *kept)
{
	memcpy(message, kept->sentence, sizeof(message));
}

const char *error_message(void)
{
	return message;
}
