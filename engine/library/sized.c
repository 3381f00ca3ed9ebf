/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Structures that can grow; see library/sized.h. */
#include "library/sized.h"

#include <errno.h>
#include <string.h>

#include "api.h"
#include "base/error.h"

/* A larger size is a mistake, and the bytes must not be looked at. */
#define MOST_BYTES 4096

/* Members are aligned to at most 8 bytes, so no member is cut in two. */
#define GRAIN_BYTES 8

static size_t size_of(const void *theirs)
{
	size_t size;

	memcpy(&size, theirs, sizeof(size));
	return size;
}

static int check_size(const void *theirs, size_t least, size_t known, const char *name)
{
	size_t size;

	if (!theirs)
		return error_set(EINVAL, "there is no struct %s", name);
	size = size_of(theirs);
	if (size > MOST_BYTES)
		return error_set(E2BIG, "struct %s: a struct_size of %zu is too large; "
				 "PYFIO_INIT(%s) sets it", name, size, name);
	if (size < least || size % GRAIN_BYTES)
		return error_set(EINVAL, "struct %s: its struct_size is %zu, and in this "
				 "library it is %zu; PYFIO_INIT(%s) sets it", name,
				 size, known, name);
	return 0;
}

int sized_check(const void *theirs, size_t least, size_t known, const char *name)
{
	const char *bytes = theirs;
	int code = check_size(theirs, least, known, name);

	for (size_t i = known; !code && i < size_of(theirs); i++)
		if (bytes[i])
			code = error_set(E2BIG, "struct %s: the program uses a member "
					 "at byte %zu, which this library (%s) lacks: "
					 "install a newer one", name, i,
					 engine_version());
	return code;
}

int sized_take(void *ours, const void *theirs, size_t known, const char *name)
{
	int code;

	memset(ours, 0, known);
	if (!theirs)
		return 0;
	code = sized_check(theirs, sizeof(size_t), known, name);
	if (!code)
		memcpy(ours, theirs, size_of(theirs) < known ? size_of(theirs) : known);
	return code;
}

int sized_give(void *theirs, const void *ours, size_t known, const char *name)
{
	int code = check_size(theirs, sizeof(size_t), known, name);
	size_t size;

	if (code)
		return code;
	size = size_of(theirs);
	memset((char *)theirs + sizeof(size), 0, size - sizeof(size));
	memcpy((char *)theirs + sizeof(size), (const char *)ours + sizeof(size),
	       (size < known ? size : known) - sizeof(size));
	return 0;
}
