/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compares struct thread_options with the table of options that fio exports. The table
 * says where the running fio stores the value of each option.
 *
 * Runs in the child of fio/guard.c.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include "fio/compat.h"
#include "fio/guard.h"

#define NUM_OFFSETS 6

/* An option of the sources that the engine was built from. */
struct known_option {
	const char *name;
	bool always; /* independent of the libraries that fio is configured with */
	unsigned int offsets[NUM_OFFSETS];
};

#include "fio_known_options.h"

#define NUM_KNOWN (sizeof(known_options) / sizeof(*known_options))

/* fio's own table. It is found by dlsym(), because fio_options is our own table here. */
static const struct fio_option *fios_options;

/* The options of fio's profiles are in the table, too, but their values are in
 * structures of the profiles. */
static bool is_of_job(const struct fio_option *option)
{
	return !option->prof_name && option->type != FIO_OPT_INVALID;
}

static bool is_at(const struct fio_option *option, const unsigned int *offsets)
{
	const unsigned int found[NUM_OFFSETS] = {
		option->off1, option->off2, option->off3,
		option->off4, option->off5, option->off6
	};

	return !memcmp(found, offsets, sizeof(found));
}

/* The table has a fixed size, which depends on struct fio_option and on the number
 * of options that fio has room for. Its end is marked by an option without a name. */
static void find_table(void)
{
	const ElfW(Sym) *symbol = NULL;
	Dl_info info;

	fio_guard_note("that fio exports no table of options");
	fios_options = dlsym(RTLD_DEFAULT, "fio_options");
	fio_guard_expect(fios_options && dladdr1(fios_options, &info, (void **)&symbol,
						 RTLD_DL_SYMENT) && symbol);
	fio_guard_note("its table of options has %zu bytes and not %zu",
		       (size_t)symbol->st_size,
		       FIO_MAX_OPTS * sizeof(struct fio_option));
	fio_guard_expect(symbol->st_size == FIO_MAX_OPTS * sizeof(struct fio_option));
	fio_guard_note("its table of options has no end");
	fio_guard_expect(!fios_options[FIO_MAX_OPTS - 1].name);
}

static const struct known_option *find_known(const struct fio_option *option)
{
	const struct known_option *found = NULL;

	for (size_t i = 0; i < NUM_KNOWN; i++) {
		if (strcmp(known_options[i].name, option->name))
			continue;
		found = &known_options[i];
		if (is_at(option, found->offsets))
			break;
	}
	return found;
}

static bool has_option(const char *name)
{
	for (const struct fio_option *o = fios_options; o->name; o++)
		if (is_of_job(o) && !strcmp(o->name, name))
			return true;
	return false;
}

/* Names are compared first, because a missing or additional option explains why
 * others have other offsets. */
static void compare_names(void)
{
	for (const struct fio_option *o = fios_options; o->name; o++) {
		fio_guard_note("the option %s is not in those sources", o->name);
		fio_guard_expect(!is_of_job(o) || find_known(o));
	}
	for (size_t i = 0; i < NUM_KNOWN; i++) {
		fio_guard_note("it has no option %s", known_options[i].name);
		fio_guard_expect(!known_options[i].always ||
				 has_option(known_options[i].name));
	}
}

static void compare_offsets(void)
{
	for (const struct fio_option *o = fios_options; o->name; o++) {
		const struct known_option *known = find_known(o);

		if (!is_of_job(o))
			continue;
		fio_guard_note("the option %s lies at byte %u and not %u of struct "
			       "thread_options", o->name, o->off1, known->offsets[0]);
		fio_guard_expect(is_at(o, known->offsets));
	}
}

void fio_compare_options(void)
{
	find_table();
	compare_names();
	compare_offsets();
}
