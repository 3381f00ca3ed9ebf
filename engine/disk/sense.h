/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Turns SCSI sense data into an errno and words (SPC-4, 4.5 and annex F). These are
 * pure functions; any thread may call them.
 */
#ifndef SENSE_H
#define SENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sense {
	bool is_valid;
	uint8_t key;
	uint8_t asc;  /* additional sense code */
	uint8_t ascq; /* its qualifier */
};

/* Fixed (70h, 71h) and descriptor (72h, 73h) formats. */
struct sense sense_parse(const uint8_t *data, size_t size);
/* The errno, positive, that fits the sense data. */
int sense_errno(const struct sense *sense);
/* True for a unit attention, which only reports an event; the command must be sent
 * again. */
bool sense_is_attention(const struct sense *sense);
/* The names, such as "NOT READY" and "medium not present". An unknown code has the
 * name "". */
const char *sense_key_name(uint8_t key);
const char *sense_code_name(uint8_t asc, uint8_t ascq);

#endif
