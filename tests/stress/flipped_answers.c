/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A back-end that changes an answer while the engine judges it. A thread changes one byte
 * of a SCSI answer between two values, as fast as it can. Each verdict must be one of the
 * two that the unchanging answers get. If a value is read twice, one for the check and one
 * for its use, then a third verdict appears; the thread sanitizer finds plain accesses.
 *
 * usage: flipped_answers VERDICTS (of each of the two values, for each byte)
 */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "disk/scsi.h"
#include "disk/scsi_answer.h"

#define FIXED 0x70
#define DESCRIPTOR 0x72

struct flip {
	const char *name;
	uint8_t status; /* of the answer; unless the flip changes it */
	size_t offset;  /* of the byte that changes */
	uint8_t values[2];
};

#define AT(MEMBER) offsetof(struct virtio_scsi_cmd_resp, MEMBER)

static const struct flip flips[] = {
	{ "response", 0, AT(response), { VIRTIO_SCSI_S_OK, VIRTIO_SCSI_S_FAILURE } },
	{ "an unknown response", 0, AT(response), { VIRTIO_SCSI_S_RESET, 200 } },
	{ "status", 0, AT(status), { 0x00, 0x02 } },
	{ "a status that is tried again", 0, AT(status), { 0x02, 0x08 } },
	{ "condition met", 0, AT(status), { 0x04, 0x18 } },
	{ "residual", 0, AT(resid), { 0, 1 } },
	{ "residual of any size", 0, AT(resid) + 3, { 0, 0xff } },
	{ "length of the sense data", 2, AT(sense_len), { 0, 18 } },
	{ "length beyond the sense data", 2, AT(sense_len), { 0, 200 } },
	{ "format of the sense data", 2, AT(sense), { FIXED, DESCRIPTOR } },
	{ "deferred", 2, AT(sense), { FIXED, FIXED | 1 } },
	{ "no sense data", 2, AT(sense), { 0, FIXED } },
	{ "sense key", 2, AT(sense) + 2, { 0x1, 0x5 } },
	{ "sense code", 2, AT(sense) + 12, { 0x20, 0x24 } },
};

struct verdict {
	int code;
	char sentence[512];
};

static struct virtio_scsi_cmd_resp answer;
static bool is_over;

static struct verdict judge(void)
{
	const struct disk disk = { .info = { .writeback = true } };
	const struct request req = { .type = REQUEST_READ, .part_bytes = 4096,
				     .offset_bytes = 8192 };
	struct verdict verdict = { .code = scsi_judge(&disk, &answer, &req) };

	if (verdict.code)
		snprintf(verdict.sentence, sizeof(verdict.sentence), "%s",
			 error_message());
	return verdict;
}

static bool is_same(const struct verdict *a, const struct verdict *b)
{
	return a->code == b->code && !strcmp(a->sentence, b->sentence);
}

static void set_byte(const struct flip *flip, unsigned int which)
{
	__atomic_store_n((uint8_t *)&answer + flip->offset, flip->values[which],
			 __ATOMIC_RELAXED);
}

static void *keep_flipping(void *data)
{
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		set_byte(data, 0);
		set_byte(data, 1);
	}
	return NULL;
}

static void make_answer(const struct flip *flip)
{
	const uint8_t sense[18] = { FIXED, 0x3, 0x5, 0x11, [7] = 10, [12] = 0x20 };

	memset(&answer, 0, sizeof(answer));
	answer.status = flip->status;
	answer.sense_len = sizeof(sense);
	memcpy(answer.sense, sense, sizeof(sense));
}

/* Judges until both verdicts have come `wanted` times. */
static int judge_while_flipping(const struct flip *flip, unsigned long wanted,
				const struct verdict expected[2])
{
	unsigned long seen[2] = { 0 };

	while (seen[0] < wanted || seen[1] < wanted) {
		struct verdict verdict = judge();
		unsigned int which = is_same(&verdict, &expected[0]) ? 0 : 1;

		if (!is_same(&verdict, &expected[which])) {
			fprintf(stderr, "%s: a third verdict: %d, %s\n", flip->name,
				verdict.code, verdict.sentence);
			return 1;
		}
		seen[which]++;
	}
	return 0;
}

static int try_flip(struct flip *flip, unsigned long wanted)
{
	struct verdict expected[2];
	pthread_t thread;
	int code;

	make_answer(flip);
	for (unsigned int which = 0; which < 2; which++) {
		set_byte(flip, which);
		expected[which] = judge();
	}
	if (is_same(&expected[0], &expected[1])) {
		fprintf(stderr, "%s: both values have the same verdict\n", flip->name);
		return 1;
	}
	is_over = false;
	pthread_create(&thread, NULL, keep_flipping, flip);
	code = judge_while_flipping(flip, wanted, expected);
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return code;
}

int main(int argc, char **argv)
{
	unsigned long wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	int failures = 0;

	for (size_t i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
		struct flip flip = flips[i];

		failures += try_flip(&flip, wanted);
	}
	return failures != 0;
}
