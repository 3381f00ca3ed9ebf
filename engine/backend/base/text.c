/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adds parts to a text. It keeps no state.
 */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

void text_add(struct text *text, const char *format, ...)
{
	size_t left = text->room - text->length;
	va_list arguments;
	int count;

	va_start(arguments, format);
	count = vsnprintf(text->start + text->length, left, format, arguments);
	va_end(arguments);
	if (count > 0)
		text->length += (size_t)count < left ? (size_t)count : left - 1;
}
