/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI sense data turned into an errno and words (SPC-4, 4.5 and annex F).
 * Pure; any thread.
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
/* A positive errno. */
int sense_errno(const struct sense *sense);
/* True for a unit attention: the device only wanted to say something, and the
 * command is to be sent again. */
bool sense_is_attention(const struct sense *sense);
/* "NOT READY", and "medium not present" or "" where it is not known. */
const char *sense_key_name(uint8_t key);
const char *sense_code_name(uint8_t asc, uint8_t ascq);

#endif
