/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of fio that promise something about stability, order, placement, caches,
 * memory or files that this engine cannot keep. A job with such an option is refused,
 * or a line says, once in a run, that the option has no effect.
 *
 * docs/fio-options.md lists all options of fio; its rows "refused" and "note" agree with
 * the table below. Options are looked up by name in fio's own table, because releases of
 * fio have different ones.
 */
#include <dlfcn.h>

#include "base/error.h"
#include "fio/job.h"
#include "fio/notes.h"

enum when {
	GIVEN, /* the job has the option, with any value */
	IS,    /* ... with this value */
	IS_NOT,
	GIVEN_TO_THREAD,
};

struct promise {
	const char *option;
	enum when when;
	unsigned int value;
	const char *sentence; /* continues after the option's name */
};

static const struct promise refused[] = {
	{ "io_submit_mode", IS, IO_MODE_OFFLOAD, "=offload does not work with this "
	  "engine, because jobs own their queues: leave it out" },
	{ "mem", GIVEN, 0, "= (iomem=) cannot be chosen, because buffers lie in the "
	  "memory that is shared with the back-end: see hugepages=" },
	{ "atomic", IS_NOT, 0, "=1 does not work with this engine, because virtio has no "
	  "writes that are carried out completely or not at all: leave it out" },
	{ "fdp", IS_NOT, 0, "=1 does not work with this engine, because virtio has no "
	  "data placement: leave it out" },
	{ "dataplacement", IS_NOT, 0, "= does not work with this engine, because virtio "
	  "has no data placement: leave it out" },
};

static const struct promise without_effect[] = {
	{ "buffered", IS, 0, "=1 (direct=0) has no effect, because there is no page cache "
	  "between fio and the back-end" },
	{ "invalidate", IS_NOT, 0, "=1 has no effect, because there is no page cache "
	  "between fio and the back-end, and the caches of the back-end are its own" },
	{ "pre_read", IS_NOT, 0, "=1 has no effect, because there is no page cache between "
	  "fio and the back-end" },
	{ "fadvise_hint", IS_NOT, F_ADV_NONE, "= has no effect, because there is no page "
	  "cache between fio and the back-end" },
	{ "write_hint", GIVEN, 0, "= has no effect, because virtio requests carry no hints" },
	{ "write_barrier", IS_NOT, 0, "= has no effect, because virtio has no barriers: "
	  "sync=1, fsync= and fdatasync= wait until writes are stable" },
	{ "sync_file_range", GIVEN, 0, "= flushes the whole disk each time, because virtio "
	  "cannot flush a range" },
	{ "ioscheduler", GIVEN, 0, "= has no effect, because no I/O scheduler of this "
	  "machine sees the requests" },
	{ "prio", GIVEN, 0, "= has no effect, because virtio requests carry no priority" },
	{ "prioclass", GIVEN, 0, "= has no effect, because virtio requests carry no "
	  "priority" },
	{ "priohint", GIVEN, 0, "= has no effect, because virtio requests carry no hints" },
	{ "cgroup_weight", IS_NOT, 0, "= has no effect, because no block device of this "
	  "machine sees the requests" },
	{ "disk_util", IS_NOT, 0, "=1 has no effect, because no block device of this "
	  "machine sees the requests" },
	{ "hugepage-size", GIVEN, 0, "= has no effect: hugepages=2m and hugepages=1g "
	  "choose the size of pages" },
	{ "numa_mem_policy", GIVEN_TO_THREAD, 0, "= of the first job places the memory of "
	  "all jobs, because threads share their buffers' memory" },
	{ "gpu_dev_id", GIVEN, 0, "= has no effect, because buffers lie in the memory that "
	  "is shared with the back-end" },
	{ "fallocate", IS_NOT, FIO_FALLOCATE_NONE, "= has no effect, because the engine "
	  "creates no file" },
	{ "create_fsync", IS_NOT, 0, "=1 has no effect, because the engine creates no "
	  "file" },
	{ "create_on_open", IS_NOT, 0, "=1 has no effect, because the engine creates no "
	  "file" },
	{ "unlink", IS_NOT, 0, "=1 has no effect, because the socket belongs to the "
	  "back-end" },
	{ "unlink_each_loop", IS_NOT, 0, "=1 has no effect, because the socket belongs to "
	  "the back-end" },
	{ "allow_mounted_write", IS, 0, "=0 has no effect, because fio cannot see whether "
	  "the disk of a back-end is mounted" },
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

_Static_assert(NOTE_FIRST_OPTION + COUNT(without_effect) <= NOTES, "a note for each");

/* fio's own table. It is found by dlsym(), because fio_options is our own table here. */
static const struct fio_option *find(const char *name)
{
	static const struct fio_option *fios_options;
	const struct fio_option *option;

	if (!fios_options)
		fios_options = dlsym(RTLD_DEFAULT, "fio_options");
	for (option = fios_options; option && option->name; option++)
		if (!strcmp(option->name, name) && option->type != FIO_OPT_UNSUPPORTED)
			return option;
	return NULL;
}

/* The values that matter are numbers of 32 bits. */
static bool applies(struct thread_data *td, const struct promise *promise)
{
	const struct fio_option *option = find(promise->option);
	unsigned int value;

	if (!option || !__fio_option_is_set(&td->o, option->off1))
		return false;
	memcpy(&value, (const char *)&td->o + option->off1, sizeof(value));
	switch (promise->when) {
	case IS:
		return value == promise->value;
	case IS_NOT:
		return value != promise->value;
	case GIVEN_TO_THREAD:
		return td->o.use_thread;
	default:
		return true;
	}
}

int fio_refuse_promises(struct thread_data *td)
{
	for (size_t i = 0; i < COUNT(refused); i++)
		if (applies(td, &refused[i]))
			return error_set(EINVAL, "%s%s", refused[i].option,
					 refused[i].sentence);
	return 0;
}

void fio_note_promises(struct thread_data *td)
{
	for (unsigned int i = 0; i < COUNT(without_effect); i++)
		if (applies(td, &without_effect[i]) &&
		    fio_is_first_to_say(NOTE_FIRST_OPTION + i))
			log_info("fio_virtio: %s%s\n", without_effect[i].option,
				 without_effect[i].sentence);
	td->o.pre_read = 0; /* fio would read from the file descriptor of the disk */
}
