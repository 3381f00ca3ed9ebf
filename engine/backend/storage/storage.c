/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens the chosen kind of storage, and implements null storage, which keeps no
 * data. Workers enter the operations, which do not check offsets, because
 * storage/disk.c has checked them.
 */
#include "storage/storage.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "storage/direct.h"

/* ---- null: keeps no data, and leaves the buffer of a read as it is ------- */

static int null_transfer(struct storage *storage, uint64_t offset,
			 struct span *span)
{
	(void)storage, (void)offset, (void)span;
	return 0;
}

static int null_flush(struct storage *storage)
{
	(void)storage;
	return 0;
}

static int null_range(struct storage *storage, uint64_t offset, uint64_t bytes)
{
	(void)storage, (void)offset, (void)bytes;
	return 0;
}

static const struct storage_ops null_ops = {
	.read = null_transfer,
	.write = null_transfer,
	.flush = null_flush,
	.discard = null_range,
	.write_zeroes = null_range,
};

/* ---- opening ------------------------------------------------------------ */

static int open_private(struct storage *storage,
			const struct storage_options *options)
{
	storage->ops = &memory_ops;
	if (!storage->bytes)
		return error_record(-EINVAL, "storage memory: give a size");
	return storage_map_memory(storage, options);
}

/* Without a guard, an unavailable page would end the process. */
static int open_mapped(struct storage *storage, const char *path,
		       const struct storage_options *options)
{
	bool is_new;
	int result = storage_open_file(storage, path, options->read_only,
				       &is_new);

	storage->ops = options->may_map ? &mapped_ops : &file_ops;
	if (result || !options->may_map)
		return result;
	result = storage_map_file(storage, options->read_only);
	/* The holes of a file that had data stay holes. */
	if (!result && options->populate && is_new)
		storage_populate_file(storage, options);
	return result;
}

/* The file is mapped too, but only to check cheaply whether it was cut short.
 * Some files cannot be mapped, so a failure of that is ignored. */
static int open_file(struct storage *storage, const char *path,
		     const struct storage_options *options)
{
	bool is_new;
	int result = storage_open_file(storage, path, options->read_only,
				       &is_new);

	storage->ops = &file_ops;
	if (!result && options->direct)
		return direct_begin(storage, path);
	if (!result && options->may_map)
		storage_map_file(storage, true);
	return result;
}

const char *storage_file_path(const char *words)
{
	return strncmp(words, "file:", 5) ? NULL : words + 5;
}

static int open_words(struct storage *storage,
		      const struct storage_options *options)
{
	const char *words = options->words;

	if (!strcmp(words, "null")) {
		storage->ops = &null_ops;
		return 0;
	}
	if (!strcmp(words, "memory"))
		return open_private(storage, options);
	if (!strncmp(words, "memory:", 7))
		return open_mapped(storage, words + 7, options);
	if (!storage_file_path(words))
		return error_record(-EINVAL,
				    "storage '%s' is unknown: use null, "
				    "memory, memory:PATH or file:PATH",
				    words);
	return open_file(storage, storage_file_path(words), options);
}

int storage_open(struct storage *storage,
		 const struct storage_options *options)
{
	int result;

	*storage = (struct storage){ .fd = -1,
				     .bytes = options->bytes,
				     .log_fd = options->log_fd };
	result = open_words(storage, options);
	if (!result && !storage->bytes)
		result = error_record(-EINVAL, "storage %s: give a size",
				      options->words);
	if (result)
		storage_close(storage);
	return result;
}

void storage_close(struct storage *storage)
{
	if (storage->mapping)
		munmap(storage->mapping, storage->mapping_bytes);
	if (storage->fd >= 0)
		close(storage->fd);
	*storage = (struct storage){ .fd = -1 };
}
