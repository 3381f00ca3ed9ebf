/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a target on stored inputs, so that this needs no fuzzer: `TARGET FILE...`. A file is
 * one input, unless its name ends in .hex: then each line is one, a name and its bytes in
 * hexadecimal digits.
 */
#include <stdio.h>

#include "input.h"

/* As large as the largest input, and as a line of it. */
#define MOST_BYTES (1 << 16)

static char line[2 * MOST_BYTES + 256];

/* What runs now. A sanitizer ends the process, so it is known only if it is printed first. */
static void run(const char *file, const char *name, const uint8_t *data, size_t size)
{
	/* A copy of its own size, so that a read behind its end is seen. */
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	printf("%s %s\n", file, name);
	fflush(stdout);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int run_line(const char *file)
{
	static uint8_t data[MOST_BYTES];
	char *digits = strchr(line, ' ');
	size_t size = 0;
	unsigned int byte;

	if (!digits)
		return 1;
	*digits++ = '\0';
	for (; size < MOST_BYTES && sscanf(digits, "%2x", &byte) == 1; digits += 2)
		data[size++] = (uint8_t)byte;
	run(file, line, data, size);
	return 0;
}

static int run_lines(const char *path, FILE *file)
{
	int code = 0;

	while (!code && fgets(line, sizeof(line), file))
		code = run_line(path);
	if (code)
		fprintf(stderr, "%s: a line has no name\n", path);
	return code;
}

static int run_file(const char *path)
{
	size_t length = strlen(path), size;
	FILE *file = fopen(path, "rb");
	int code = 0;

	if (!file) {
		perror(path);
		return 1;
	}
	if (length > 4 && !strcmp(path + length - 4, ".hex")) {
		code = run_lines(path, file);
	} else {
		size = fread(line, 1, MOST_BYTES, file);
		run(path, "", (const uint8_t *)line, size);
	}
	fclose(file);
	return code;
}

int main(int count, char **paths)
{
	int code = 0;

	for (int i = 1; i < count && !code; i++)
		code = run_file(paths[i]);
	return code;
}
