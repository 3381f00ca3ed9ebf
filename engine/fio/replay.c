/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks the log that a job replays, when fio has read it; see fio/replay.h. Not on the
 * I/O path.
 */
#include "fio/replay.h"

#include <stdlib.h>

#include "base/error.h"
#include "fio/needs.h"

/* If fio reads the log in chunks, it would ask for larger buffers in the middle of the
 * run. A log that cannot be read twice is left to that. */
static void take_largest_request(struct thread_data *td)
{
	uint64_t bytes;

	needs_measure_log(td);
	bytes = needs_request_bytes(td);
	for (enum fio_ddir ddir = DDIR_READ; ddir <= DDIR_TRIM; ddir++)
		if (td->o.max_bs[ddir] < bytes)
			td->o.max_bs[ddir] = bytes;
}

static int check_piece(struct thread_data *td, const struct io_piece *piece,
		       unsigned int num_files)
{
	if (piece->ddir != DDIR_WAIT &&
	    (piece->fileno < 0 || (unsigned int)piece->fileno >= num_files))
		return error_set(EINVAL, "the log uses a file that it does "
			"not name before: give it an \"add\" line");
	if (piece->ddir == DDIR_TRIM && !td_trim(td))
		return error_set(EINVAL, "fio reads this log in chunks and cannot "
			"replay its trims then: leave read_iolog_chunked= out");
	/* If fio reads the log in chunks, its buffers may be too short for the first
	 * chunk, and a request would then use memory behind its buffer. */
	if (ddir_rw(piece->ddir) && piece->len > td->o.max_bs[piece->ddir])
		td->o.max_bs[piece->ddir] = piece->len;
	return 0;
}

/* The state of a file at some line of the log. */
struct logged_file {
	bool is_open;
	struct io_piece *close; /* its last close, if no use follows it */
};

static bool is_action(const struct io_piece *piece, enum file_log_act action)
{
	return piece->ddir == DDIR_INVAL && piece->file_action == action;
}

static void leave_out(struct io_piece *piece)
{
	piece->file_action = FIO_LOG_ADD_FILE; /* fio does nothing */
}

/* fio aborts at a request for a file that is not open. If replay_redirect= maps several
 * files to one, the close of the first one must not close it for the others, and an
 * open has no effect while requests are in flight after a close. So only the first open
 * and the last close of each file count. */
static int follow_file(struct io_piece *piece, struct logged_file *file)
{
	bool opens = is_action(piece, FIO_LOG_OPEN_FILE);
	bool closes = is_action(piece, FIO_LOG_CLOSE_FILE);

	if (is_action(piece, FIO_LOG_ADD_FILE))
		return 0;
	if (!file->is_open && piece->ddir != DDIR_INVAL)
		return error_set(EINVAL, "the log uses a file that it does not open "
			"before: give it an \"open\" line after its \"add\" line");
	if (opens && file->is_open)
		leave_out(piece);
	file->is_open |= opens;
	if (file->close)
		leave_out(file->close);
	file->close = closes ? piece : NULL;
	return 0;
}

int replay_check_log(struct thread_data *td, unsigned int num_files)
{
	struct logged_file *files = calloc(num_files + 1ul, sizeof(*files));
	struct flist_head *entry;
	int code = 0;

	if (!files)
		return error_set(ENOMEM, "no memory for a log of %u files", num_files);
	flist_for_each(entry, &td->io_log_list) {
		struct io_piece *piece = flist_entry(entry, struct io_piece, list);

		code = check_piece(td, piece, num_files);
		if (!code && piece->ddir != DDIR_WAIT)
			code = follow_file(piece, &files[piece->fileno]);
		if (code)
			break;
	}
	free(files);
	if (td->o.read_iolog_chunked)
		take_largest_request(td);
	return code;
}

/* What counts is where each request ends, not how many bytes the log moves in all. */
static int check_entry(const struct fio_file *f, const struct device_info *info,
		       const struct io_piece *piece, unsigned int number)
{
	uint64_t capacity = f->real_file_size;

	if (piece->len > capacity || piece->offset > capacity - piece->len)
		return error_set(ENOSPC, "%s: request %u of the log, a %s of %lu bytes "
			"at %llu, reaches beyond the device's %llu bytes",
			f->file_name, number, io_ddir_name(piece->ddir), piece->len,
			piece->offset, (unsigned long long)capacity);
	if ((piece->offset | piece->len) % info->block_size)
		return error_set(EINVAL, "%s: request %u of the log, a %s of %lu bytes "
			"at %llu, is not made of whole blocks of %u bytes",
			f->file_name, number, io_ddir_name(piece->ddir), piece->len,
			piece->offset, info->block_size);
	return 0;
}

/* With continue_on_error=, a request that fails is part of the run. */
int replay_check_ends(const struct job *job)
{
	struct thread_data *td = job->td;
	struct flist_head *entry;
	struct device_info info;
	unsigned int number = 0;
	int code = 0;

	if (!td->o.read_iolog_file || td->o.continue_on_error)
		return 0;
	flist_for_each(entry, &td->io_log_list) {
		struct io_piece *piece = flist_entry(entry, struct io_piece, list);

		if (code || !ddir_rw(piece->ddir))
			continue;
		device_describe(job->files[piece->fileno].device, &info);
		code = check_entry(td->files[piece->fileno], &info, piece, ++number);
	}
	return code;
}
