/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chooses the request that a trim becomes (trim=), as the device offers it; see
 * fio/job.h. Not on the I/O path. */
#include "base/error.h"
#include "fio/job.h"
#include "fio/notes.h"

/* fio also trims blocks that it has written and will verify. */
static bool trims(const struct thread_data *td)
{
	return td_trim(td) || (td->o.trim_backlog && td->o.trim_percentage);
}

static int refuse(const struct fio_file *f, const char *lacks, const char *remedy)
{
	return error_set(EOPNOTSUPP, "%s: the device does not offer %s: %s",
			 f->file_name, lacks, remedy);
}

int fio_check_trims(const struct thread_data *td, const struct fio_file *f,
		    const struct device_info *info)
{
	const struct options *options = td->eo;

	if (!trims(td))
		return 0;
	if (!info->can_discard && !info->can_write_zeroes)
		return error_set(EOPNOTSUPP, "%s: the device offers neither "
			"discard nor write-zeroes: a job with trim cannot run "
			"on it", f->file_name);
	if (options->trim == TRIM_DISCARD && !info->can_discard)
		return refuse(f, "discard", "use trim=write_zeroes");
	if (options->trim == TRIM_WRITE_ZEROES && !info->can_write_zeroes)
		return refuse(f, "write-zeroes", "use trim=discard");
	return 0;
}

/* WRITE_ZEROES may take as long as a write, so its numbers are not those of a discard. */
enum request_type fio_choose_trim(const struct thread_data *td, const struct fio_file *f,
				  const struct device_info *info)
{
	const struct options *options = td->eo;

	if (options->trim == TRIM_DISCARD)
		return REQUEST_DISCARD;
	if (options->trim == TRIM_WRITE_ZEROES)
		return REQUEST_WRITE_ZEROES;
	if (info->can_discard || !info->can_write_zeroes)
		return REQUEST_DISCARD;
	if (trims(td) && fio_is_first_to_say(NOTE_TRIM))
		log_info("fio_virtio: %s: trims are sent as WRITE_ZEROES with UNMAP, "
			 "because the device does not offer DISCARD "
			 "(trim=write_zeroes asks for this)\n", f->file_name);
	return REQUEST_WRITE_ZEROES;
}
