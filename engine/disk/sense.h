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
	bool is_deferred; /* it is about an earlier command; this one was not begun */
	uint8_t key;
	uint8_t asc;  /* additional sense code; 0 where the data ends before it */
	uint8_t ascq; /* its qualifier */
};

/* What CHECK CONDITION with this sense data means for the command. */
enum sense_outcome {
	SENSE_SUCCESS, /* it was carried out */
	SENSE_AGAIN,   /* it was not, and can be sent again at once */
	SENSE_LATER,   /* the same, after a pause: the device is not ready yet */
	SENSE_ERROR,   /* it failed: see sense_errno() */
};

/* Fixed (70h, 71h) and descriptor (72h, 73h) formats. Valid if the key is there. */
struct sense sense_parse(const uint8_t *data, size_t size);
enum sense_outcome sense_judge(const struct sense *sense);
/* The errno, positive, that fits the sense data. */
int sense_errno(const struct sense *sense);
/* The names, such as "NOT READY" and "medium not present". An unknown code has the
 * name "". */
const char *sense_key_name(uint8_t key);
const char *sense_code_name(uint8_t asc, uint8_t ascq);

#endif
