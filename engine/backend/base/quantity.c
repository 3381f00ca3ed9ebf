/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads and writes numbers with units. It keeps no state.
 */
#include "base/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/error.h"

#define TIME_MAX_NS (UINT64_C(3600) * 1000000000)

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit time_units[] = {
	{ "", 1 },	     { "ns", 1 },	  { "us", 1000 },
	{ "ms", 1000000 }, { "s", 1000000000 }, { NULL, 0 },
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "b", 1 },
	{ "k", UINT64_C(1) << 10 },
	{ "kib", UINT64_C(1) << 10 },
	{ "m", UINT64_C(1) << 20 },
	{ "mib", UINT64_C(1) << 20 },
	{ "g", UINT64_C(1) << 30 },
	{ "gib", UINT64_C(1) << 30 },
	{ "t", UINT64_C(1) << 40 },
	{ "tib", UINT64_C(1) << 40 },
	{ NULL, 0 },
};

static int parse(const char *words, const struct unit *units,
		 const char *example, uint64_t *result)
{
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(words, &end, 10);
	if (!isdigit((unsigned char)*words) || errno)
		return error_record(-EINVAL, "'%s' is not a number like %s",
				    words, example);
	for (; units->name; units++) {
		if (strcasecmp(end, units->name))
			continue;
		if (number > UINT64_MAX / units->factor)
			return error_record(-EINVAL, "%s is too large", words);
		*result = number * units->factor;
		return 0;
	}
	return error_record(-EINVAL, "'%s' is not a number like %s", words,
			    example);
}

int quantity_parse_number(const char *words, uint64_t *number)
{
	return parse(words, no_units, "100", number);
}

int quantity_parse_ns(const char *words, uint64_t *ns)
{
	int result = parse(words, time_units, "20us", ns);

	if (!result && *ns > TIME_MAX_NS)
		result = error_record(-ERANGE, "%s is too long: the limit is "
				      "3600s", words);
	return result;
}

int quantity_parse_bytes(const char *words, uint64_t *bytes)
{
	return parse(words, size_units, "64MiB", bytes);
}

void quantity_print_ns(uint64_t ns, char words[QUANTITY_WORDS_BYTES])
{
	const struct unit *unit = time_units;
	unsigned int i;

	for (i = 0; time_units[i].name; i++)
		if (ns && !(ns % time_units[i].factor))
			unit = &time_units[i];
	snprintf(words, QUANTITY_WORDS_BYTES, "%" PRIu64 "%s",
		 ns / unit->factor, *unit->name ? unit->name : "ns");
}
