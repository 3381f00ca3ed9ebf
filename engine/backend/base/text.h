/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A text that is put together from parts, in a buffer of the caller. What does
 * not fit is cut. Each thread uses its own.
 */
#ifndef BACKEND_TEXT_H
#define BACKEND_TEXT_H

#include <stddef.h>

struct text {
	char *start; /* ends with a NUL */
	size_t room; /* bytes, with the NUL */
	size_t length;
};

__attribute__((format(printf, 2, 3))) void text_add(struct text *text,
						     const char *format, ...);

#endif
