/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks whether all requests of a job consist of whole blocks of the device, as far as
 * fio's options decide it. A job that would send other requests is refused, and the
 * sentence names the option that is at fault; see fio/job.h.
 *
 * fio calculates an offset as the start of the job (offset=, offset_increment=) plus a
 * multiple of blockalign= or the sum of the sizes so far, plus skipped parts (zoneskip=,
 * rw=read:8k). Except for requests that go back (rw=read:-8k), size= and io_size= only say
 * how many requests there are.
 */
#include "base/error.h"
#include "fio/job.h"

struct blocks {
	const char *file;
	unsigned int size;
};

/* whose: " of reads" or "". */
static int refuse(const struct blocks *blocks, const char *option,
		  unsigned long long value, const char *whose)
{
	return error_set(EINVAL, "%s: the device has blocks of %u bytes: %s%llu%s is "
		"not a multiple of that", blocks->file, blocks->size, option, value,
		whose);
}

/* ---- sizes ------------------------------------------------------------------ */

/* With bs_unaligned=1, a size is any number between two others, or an entry of bssplit=
 * as it is. Otherwise fio makes it a multiple of the smallest one. */
static int check_unaligned(struct thread_data *td, const struct blocks *blocks,
			   enum fio_ddir of, const char *whose)
{
	const struct thread_options *o = &td->o;

	if (!o->bssplit_nr[of])
		return error_set(EINVAL, "%s: the device has blocks of %u bytes: "
			"bs_unaligned=1 makes the sizes%s other than multiples of "
			"that: leave it out", blocks->file, blocks->size, whose);
	for (unsigned int i = 0; i < o->bssplit_nr[of]; i++)
		if (o->bssplit[of][i].bs % blocks->size)
			return refuse(blocks, "bs_unaligned=1 with bssplit= and ",
				      o->bssplit[of][i].bs, whose);
	return 0;
}

static const char *name_sizes(const struct thread_options *o, enum fio_ddir of)
{
	if (o->bssplit_nr[of])
		return "bssplit= with ";
	return o->min_bs[of] == o->max_bs[of] ? "bs=" : "bsrange= with ";
}

/* fio cuts sizes between the two limits to multiples of the smaller one. Only the
 * larger limit of bsrange= itself can be another number. */
static int check_sizes(struct thread_data *td, const struct blocks *blocks,
		       enum fio_ddir of, const char *whose)
{
	const struct thread_options *o = &td->o;
	bool is_range = o->min_bs[of] != o->max_bs[of];

	if (o->min_bs[of] % blocks->size)
		return refuse(blocks, name_sizes(o, of), o->min_bs[of], whose);
	if (is_range && !o->bssplit_nr[of] && o->max_bs[of] % blocks->size)
		return refuse(blocks, name_sizes(o, of), o->max_bs[of], whose);
	if (is_range && o->bs_unaligned)
		return check_unaligned(td, blocks, of, whose);
	return 0;
}

static bool does(struct thread_data *td, enum fio_ddir ddir)
{
	return ddir == DDIR_READ ? td_read(td) != 0 :
	       ddir == DDIR_WRITE ? td_write(td) != 0 : td_trim(td) != 0;
}

/* With bs_is_seq_rand=1 the sizes "of reads" are those of sequential requests, and the
 * sizes "of writes" those of random requests. */
static int check_sizes_by_order(struct thread_data *td, const struct blocks *blocks)
{
	bool is_random = td_random(td);
	bool is_sequential = !is_random;
	int code = 0;

	for (enum fio_ddir ddir = DDIR_READ; ddir <= DDIR_TRIM; ddir++)
		is_sequential |= does(td, ddir) && td->o.perc_rand[ddir] != 100;
	if (is_sequential)
		code = check_sizes(td, blocks, DDIR_READ, " of sequential requests");
	if (!code && is_random)
		code = check_sizes(td, blocks, DDIR_WRITE, " of random requests");
	return code;
}

/* fio uses blockalign= for random offsets; if it is left out, it is the smallest size. */
static int check_align(struct thread_data *td, const struct blocks *blocks,
		       enum fio_ddir ddir, const char *whose)
{
	const char *option = fio_option_is_set(&td->o, ba) ? "blockalign=" : "bs=";

	if (!td_random(td) || td->o.ba[ddir] % blocks->size == 0)
		return 0;
	return refuse(blocks, option, td->o.ba[ddir], whose);
}

static int check_directions(struct thread_data *td, const struct blocks *blocks)
{
	static const char *const whose[] = {
		[DDIR_READ] = " of reads", [DDIR_WRITE] = " of writes",
		[DDIR_TRIM] = " of trims",
	};
	int code = td->o.bs_is_seq_rand ? check_sizes_by_order(td, blocks) : 0;

	for (enum fio_ddir ddir = DDIR_READ; !code && ddir <= DDIR_TRIM; ddir++) {
		if (!does(td, ddir))
			continue;
		if (!td->o.bs_is_seq_rand)
			code = check_sizes(td, blocks, ddir, whose[ddir]);
		if (!code)
			code = check_align(td, blocks, ddir, whose[ddir]);
	}
	return code;
}

/* ---- offsets ---------------------------------------------------------------- */

/* fio rounds a start that is a percentage up to offset_align=, or else to the smallest
 * size, so it does not depend on offset= or offset_increment= then. */
static int check_rounding(struct thread_data *td, const struct blocks *blocks)
{
	bool is_set = fio_option_is_set(&td->o, start_offset_align);
	unsigned long long align = is_set ? td->o.start_offset_align : td_min_bs(td);

	if (align % blocks->size == 0)
		return 0;
	return refuse(blocks, "offset_align=", align,
		      is_set ? "" : " (the smallest bs=)");
}

static int check_start(struct thread_data *td, const struct blocks *blocks)
{
	struct thread_options *o = &td->o;

	if (o->start_offset_percent || o->offset_increment_percent)
		return check_rounding(td, blocks);
	if (o->start_offset % blocks->size)
		return refuse(blocks, "offset=", o->start_offset, "");
	if (td->subjob_number * o->offset_increment % blocks->size)
		return refuse(blocks, "offset_increment=", o->offset_increment, "");
	return 0;
}

/* The next zone starts zonerange= (or zonesize=) and zoneskip= after the last one. */
static int check_zones(struct thread_data *td, const struct blocks *blocks)
{
	struct thread_options *o = &td->o;

	if (o->zone_mode != ZONE_MODE_STRIDED)
		return 0;
	if (o->zone_range % blocks->size)
		return refuse(blocks, fio_option_is_set(o, zone_range) ?
			      "zonerange=" : "zonesize=", o->zone_range, "");
	if (o->zone_skip % blocks->size)
		return refuse(blocks, "zoneskip=", o->zone_skip, "");
	return 0;
}

/* Requests that go back begin at the end of the job's part of the file, or of the device
 * if that comes first. */
static int check_end(const struct thread_options *o, const struct blocks *blocks,
		     uint64_t capacity)
{
	uint64_t bytes = o->size == -1ULL ? 0 :
			 o->size / (o->nr_files ? o->nr_files : 1);

	if (o->file_size_high)
		bytes = o->file_size_high;
	return bytes < capacity && bytes % blocks->size ?
	       refuse(blocks, "rw=...:-N begins at the end, and size=", bytes, "") : 0;
}

static bool has_one_direction(struct thread_data *td)
{
	return does(td, DDIR_READ) + does(td, DDIR_WRITE) + does(td, DDIR_TRIM) == 1;
}

/* fio skips nothing before the first request of a zone. If a zone ends with each request,
 * or if each request fills the part of the zone that is used, all requests are first ones. */
static bool begins_zones(struct thread_data *td)
{
	const struct thread_options *o = &td->o;

	if (o->zone_mode != ZONE_MODE_STRIDED)
		return false;
	return td_min_bs(td) >= o->zone_size ||
	       (td_min_bs(td) >= o->zone_range && has_one_direction(td));
}

/* rw=read:8k skips 8 KiB after each request, and rw=read:-8k goes back. */
static int check_skip(struct thread_data *td, const struct blocks *blocks,
		      uint64_t capacity)
{
	long long skip = td->o.ddir_seq_add;

	if (td_random(td) || begins_zones(td))
		return 0;
	if (skip % (long long)blocks->size == 0)
		return skip < 0 ? check_end(&td->o, blocks, capacity) : 0;
	return error_set(EINVAL, "%s: the device has blocks of %u bytes: rw=...:%lld "
		"is not a multiple of that", blocks->file, blocks->size, skip);
}

int fio_check_alignment(struct thread_data *td, const struct fio_file *f,
			const struct device_info *info)
{
	const struct blocks blocks = { f->file_name, info->block_size };
	int code = check_directions(td, &blocks);

	if (!code)
		code = check_start(td, &blocks);
	if (!code)
		code = check_zones(td, &blocks);
	return code ? code : check_skip(td, &blocks, info->capacity_bytes);
}
