/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads numbers as people write them: 20us, 1GiB, 4096. They come from options
 * and from the control socket. A text that is not a whole number with a known
 * unit is refused. Times are also written. Any thread may call these functions.
 */
#ifndef BACKEND_QUANTITY_H
#define BACKEND_QUANTITY_H

#include <stdint.h>

/* Each returns 0, or -EINVAL with the reason in error_record(). */
int quantity_parse_number(const char *words, uint64_t *number);
/* Units: ns, us, ms, s. Without a unit the number means ns. The limit is an
 * hour, so that a deadline cannot overflow. */
int quantity_parse_ns(const char *words, uint64_t *ns);
/* Units: b, k, m, g, t and KiB, MiB, GiB, TiB; they are powers of 1024. Without
 * a unit the number means bytes. */
int quantity_parse_bytes(const char *words, uint64_t *bytes);

enum { QUANTITY_WORDS_BYTES = 32 };

/* Writes a time in the largest unit that gives a whole number. */
void quantity_print_ns(uint64_t ns, char words[QUANTITY_WORDS_BYTES]);

#endif
