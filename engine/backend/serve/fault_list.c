/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the faults as JSON: each in the words that serve/fault.c would read,
 * with the number of requests or messages that matched and that it applied to.
 * The control thread enters it, and workers may count at the same time.
 */
#include <inttypes.h>

#include "base/barrier.h"
#include "base/quantity.h"
#include "base/text.h"
#include "serve/fault.h"

struct printer {
	struct text *text;
	char separator; /* before the next key */
};

static void begin_key(struct printer *printer, const char *key)
{
	text_add(printer->text, "%c%s=", printer->separator, key);
	printer->separator = ',';
}

/* The default is not printed. */
static void print_number(struct printer *printer, const char *key,
			 uint64_t number, uint64_t by_default)
{
	if (number == by_default)
		return;
	begin_key(printer, key);
	text_add(printer->text, "%" PRIu64, number);
}

static void print_requests(struct printer *printer, const struct fault *fault)
{
	unsigned int kind;

	for (kind = 0; kind < OPERATION_KINDS; kind++) {
		if (fault->kinds != 1u << kind)
			continue;
		begin_key(printer, "type");
		text_add(printer->text, "%s", fault_kind_name(kind));
	}
	if (fault->first_sector || fault->last_sector != UINT64_MAX) {
		begin_key(printer, "sectors");
		text_add(printer->text, "%" PRIu64 "-%" PRIu64, fault->first_sector,
		      fault->last_sector);
	}
}

static void print_amount(struct printer *printer, const struct fault *fault)
{
	char words[QUANTITY_WORDS_BYTES];

	switch (fault->action) {
	case FAULT_DELAY:
	case FAULT_REORDER:
		begin_key(printer, "for");
		quantity_print_ns(fault->amount, words);
		text_add(printer->text, "%s", words);
		break;
	case FAULT_USED_JUMP:
		print_number(printer, "by", fault->amount, 0);
		break;
	case FAULT_SHRINK:
		print_number(printer, "to", fault->amount, 0);
		break;
	default:
		break;
	}
}

static void print_fault(struct printer *printer, const struct fault *fault)
{
	text_add(printer->text, "{\"fault\": \"%s", fault_name(fault->action));
	printer->separator = ':';
	print_amount(printer, fault);
	print_requests(printer, fault);
	print_number(printer, "message", fault->message, 0);
	print_number(printer, "request", fault->request, 0);
	print_number(printer, "after", fault->after, 0);
	print_number(printer, "every", fault->every, 1);
	print_number(printer, "count", fault->count, UINT64_MAX);
	text_add(printer->text, "\", \"matched\": %" PRIu64 ", \"applied\": %" PRIu64 "}",
	      shared_read(&fault->matched), shared_read(&fault->applied));
}

void faults_print(const struct fault_set *set, struct text *text)
{
	struct printer printer = { .text = text };
	unsigned int i;

	text_add(text, "[");
	for (i = 0; i < set->count; i++) {
		text_add(text, "%s", i ? ", " : "");
		print_fault(&printer, &set->faults[i]);
	}
	text_add(text, "]");
}
