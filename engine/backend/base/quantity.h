/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers as people write them: 20us, 1GiB, 4096. Any thread; used for options
 * and for the words of the control socket. Never guesses: what is not wholly a
 * number with a known unit is refused.
 */
#ifndef BACKEND_QUANTITY_H
#define BACKEND_QUANTITY_H

#include <stdint.h>

/* Each returns 0, or -EINVAL and the reason by error_record(). */
int quantity_parse_number(const char *words, uint64_t *number);
/* ns, us, ms, s; no unit: ns. */
int quantity_parse_ns(const char *words, uint64_t *ns);
/* k, m, g, t and KiB, MiB, GiB, TiB, all powers of 1024; no unit: bytes. */
int quantity_parse_bytes(const char *words, uint64_t *bytes);

#endif
