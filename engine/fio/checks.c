/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks whether the job fits the device. A job that would fail at the first request,
 * or give a misleading result, is refused with a sentence before the run; see
 * fio/job.h.
 */
#include "base/error.h"
#include "fio/job.h"
#include "fio/notes.h"

static int check_directions(struct thread_data *td, const struct fio_file *f,
			    const struct device_info *info)
{
	if (info->read_only && (td_write(td) || td_trim(td)))
		return error_set(EROFS, "%s: the device is read-only: use a "
			"job that only reads", f->file_name);
	return fio_check_trims(td, f, info);
}

static int check_capacity(const struct fio_file *f, const struct device_info *info)
{
	if (!info->capacity_bytes && info->has_config)
		return error_set(ENODEV, "%s: the back-end says that its disk has no "
			"blocks: give it a disk", f->file_name);
	if (!info->capacity_bytes)
		return error_set(EINVAL, "%s: the back-end does not say how "
			"large its disk is: give size=, or device=scsi if it "
			"serves a virtio-scsi controller", f->file_name);
	return 0;
}

/* About where the job begins: fio also rounds percentages up to whole requests. */
static uint64_t job_start(const struct thread_data *td, uint64_t capacity)
{
	const struct thread_options *o = &td->o;
	uint64_t start = o->start_offset, step = o->offset_increment;

	if (o->start_offset_percent)
		start = capacity / 100 * o->start_offset_percent;
	if (o->offset_increment_percent)
		step = capacity / 100 * o->offset_increment_percent;
	return start + td->subjob_number * step;
}

/* fio ends a job on a block device, without a word, when a request would lie beyond the
 * end. size= is the sum over all files of a job. */
static void note_end(const struct thread_data *td, const struct fio_file *f,
		     uint64_t capacity)
{
	uint64_t start = job_start(td, capacity);
	uint64_t wanted = td->o.size / (td->o.nr_files ? td->o.nr_files : 1);

	if (td->o.size == -1ULL)
		wanted = 0;
	if (td->o.file_size_high)
		wanted = td->o.file_size_high;
	if ((start > capacity || wanted > capacity - start) &&
	    fio_is_first_to_say(NOTE_END))
		log_err("fio_virtio: %s: offset=%llu and size=%llu reach beyond the "
			"device's %llu bytes, but fio sends no request beyond them, "
			"and may end the job early\n", f->file_name, (unsigned long long)start,
			(unsigned long long)wanted, (unsigned long long)capacity);
}

/* A job that names a disk which does not exist must not run on another one. */
static int check_address(const struct thread_data *td, const struct fio_file *f,
			 const struct device_info *info)
{
	const struct options *options = td->eo;

	if (info->type != DEVICE_BLK || !options->scsi_address_set)
		return 0;
	return error_set(EINVAL, "%s: this is virtio-blk, one disk: leave "
		"scsi_target and scsi_lun out", f->file_name);
}

int fio_check_device(struct thread_data *td, const struct fio_file *f,
		     const struct device_info *info)
{
	int code = check_address(td, f, info);

	if (!code)
		code = check_directions(td, f, info);
	/* The requests of a replay come from its log and can have any size and
	 * offset, so they are checked one by one. */
	if (code || td->o.read_iolog_file)
		return code;
	code = check_capacity(f, info);
	if (!code)
		code = fio_check_alignment(td, f, info);
	if (!code)
		note_end(td, f, info->capacity_bytes);
	return code;
}
