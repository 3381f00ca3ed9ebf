/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads what the fuzzer gave, from front to back. Behind the end it reads zeroes, so each
 * input means something, and a shorter one means the same as one with zeroes at its end.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct input {
	const uint8_t *at;
	size_t left;
};

/* Returns how many bytes there were; the others are zeroes. */
static inline size_t input_copy(struct input *input, void *to, size_t bytes)
{
	size_t count = bytes < input->left ? bytes : input->left;

	memset(to, 0, bytes);
	if (count)
		memcpy(to, input->at, count);
	input->at += count;
	input->left -= count;
	return count;
}

/* A number of so many bytes, 8 at most, the lowest first. */
static inline uint64_t input_take(struct input *input, size_t bytes)
{
	uint64_t value = 0;

	input_copy(input, &value, bytes);
	return value;
}

/* A number near the lower or the upper end of 64 bits, a multiple of a power of two, or any. */
static inline uint64_t input_number(struct input *input)
{
	unsigned int form = (unsigned int)input_take(input, 1);
	uint64_t value = input_take(input, form & 1 ? 8 : 2);

	return form & 2 ? ~value : value << (form >> 2 & 15);
}

/* Ends the run with a report, if the project's code broke a promise that no sanitizer
 * knows of. */
static inline void require(bool is_kept, const char *promise)
{
	void fuzz_broken(const char *promise) __attribute__((noreturn));

	if (!is_kept)
		fuzz_broken(promise);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
