/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of the engine's options, with the help that fio shows. */
#include "fio/options.h"

#include <ctype.h>
#include <stdlib.h>

#include "api.h"
#include "base/error.h"
#include "base/remedies.h"
#include "wait/wait.h"

/* 0 is a value (it means the eventfd), so a flag says whether the option was given. */
static int set_sleepy_poll(void *data, int *value)
{
	struct options *options = data;

	options->sleepy_poll_us = (unsigned int)*value;
	options->sleepy_poll_set = 1;
	return 0;
}

static int set_scsi_target(void *data, int *value)
{
	struct options *options = data;

	options->scsi_target = (unsigned int)*value;
	options->scsi_address_set = 1;
	return 0;
}

static int set_scsi_lun(void *data, int *value)
{
	struct options *options = data;

	options->scsi_lun = (unsigned int)*value;
	options->scsi_address_set = 1;
	return 0;
}

static int set_adaptive_cpu(void *data, int *value)
{
	struct options *options = data;

	options->adaptive_cpu = (unsigned int)*value;
	options->adaptive_cpu_set = 1;
	return 0;
}

#define OPTION(NAME, LONG_NAME, TYPE, FIELD, HELP)          \
	.name = NAME, .lname = LONG_NAME, .type = TYPE,     \
	.off1 = offsetof(struct options, FIELD),            \
	.help = HELP,                                       \
	.category = FIO_OPT_C_ENGINE, .group = FIO_OPT_G_INVALID

#define CHOICES                                                              \
	.def = "auto",                                                       \
	.posval = {                                                          \
		{ .ival = "auto", .oval = CHOICE_AUTO, .help = "where offered" }, \
		{ .ival = "on", .oval = CHOICE_ON, .help = "fail where not offered" }, \
		{ .ival = "off", .oval = CHOICE_OFF, .help = "never" },      \
		{ .ival = "1", .oval = CHOICE_ON, .help = "on" },            \
		{ .ival = "0", .oval = CHOICE_OFF, .help = "off" },          \
	}

struct fio_option fio_options[] = {
	{
		OPTION("device", "Device type", FIO_OPT_STR, device,
		       "Type of the device that the socket serves"),
		.def = "auto",
		.posval = {
			{ .ival = "auto", .oval = DEVICE_AUTO, .help = "find out" },
			{ .ival = "blk", .oval = DEVICE_BLK, .help = "virtio-blk" },
			{ .ival = "scsi", .oval = DEVICE_SCSI, .help = "virtio-scsi" },
		},
	},
	{
		OPTION("scsi_target", "SCSI target", FIO_OPT_INT, scsi_target,
		       "Target of the disk behind a virtio-scsi controller; "
		       "left out: the only disk that there is"),
		.cb = set_scsi_target, .maxval = 255,
	},
	{
		OPTION("scsi_lun", "SCSI LUN", FIO_OPT_INT, scsi_lun,
		       "LUN of the disk behind a virtio-scsi controller; "
		       "left out: the only disk that there is"),
		.cb = set_scsi_lun, .maxval = 16383,
	},
	{
		OPTION("wait", "Way of waiting", FIO_OPT_STR, wait,
		       "How to wait for completions; if left out: adaptive, or "
		       "as sleepy_poll says"),
		.posval = {
			{ .ival = "event", .oval = WAIT_EVENT,
			  .help = "block on the eventfd" },
			{ .ival = "busy", .oval = WAIT_BUSY,
			  .help = "poll the ring without a pause" },
			{ .ival = "sleepy", .oval = WAIT_SLEEPY,
			  .help = "poll the ring every sleepy_poll microseconds" },
			{ .ival = "adaptive", .oval = WAIT_ADAPTIVE,
			  .help = "use the fastest of these, found by trials" },
		},
	},
	{
		OPTION("sleepy_poll", "Sleep between looks", FIO_OPT_INT,
		       sleepy_poll_us,
		       "Microseconds between two looks at the ring; 0: off, "
		       "wait for the eventfd"),
		.cb = set_sleepy_poll, .maxval = WAIT_MAX_SLEEPY_POLL_US,
	},
	{
		OPTION("adaptive_cpu", "CPU for waiting", FIO_OPT_INT, adaptive_cpu,
		       "With wait=adaptive: percentage of a core that waiting may "
		       "use; 100 if left out"),
		.cb = set_adaptive_cpu, .maxval = 100,
	},
	{
		OPTION("trim", "Kind of trim", FIO_OPT_STR, trim,
		       "Which request a trim becomes"),
		.def = "auto",
		.posval = {
			{ .ival = "auto", .oval = TRIM_AUTO,
			  .help = "discard, or write_zeroes if that is not offered" },
			{ .ival = "discard", .oval = TRIM_DISCARD,
			  .help = "DISCARD (virtio-scsi: UNMAP)" },
			{ .ival = "write_zeroes", .oval = TRIM_WRITE_ZEROES,
			  .help = "WRITE_ZEROES that may unmap" },
		},
	},
	{
		OPTION("queue_size", "Queue size", FIO_OPT_INT, queue_size,
		       "Entries of each virtqueue, a power of two; 0: enough for iodepth"),
		.def = "0", .maxval = 32768,
	},
	{
		OPTION("num_queues", "Number of queues", FIO_OPT_INT, num_queues,
		       "Request queues to set up; 0: one for each job that "
		       "shares the connection"),
		.def = "0", .maxval = 65535,
	},
	{
		OPTION("call_suppression", "Call suppression", FIO_OPT_STR,
		       call_suppression, "When calls are asked for"),
		.def = "on",
		.posval = {
			{ .ival = "on", .oval = CHOICE_ON,
			  .help = "only while a thread waits for one" },
			{ .ival = "off", .oval = CHOICE_OFF,
			  .help = "always, as a plain eventfd loop does" },
			{ .ival = "1", .oval = CHOICE_ON, .help = "on" },
			{ .ival = "0", .oval = CHOICE_OFF, .help = "off" },
		},
	},
	{
		OPTION("event_idx", "Event index", FIO_OPT_STR, event_idx,
		       "Tell the other side at which index a kick or call is wanted"),
		CHOICES,
	},
	{
		OPTION("indirect", "Indirect descriptors", FIO_OPT_STR, indirect,
		       "Keep each request's descriptors in a table of its own"),
		CHOICES,
	},
	{
		OPTION("hugepages", "Huge pages", FIO_OPT_STR, hugepages,
		       "Pages of the shared memory"),
		.def = "auto",
		.posval = {
			{ .ival = "auto", .oval = HUGEPAGES_AUTO,
			  .help = "2 MiB pages if enough are free" },
			{ .ival = "off", .oval = HUGEPAGES_OFF,
			  .help = "ordinary pages" },
			{ .ival = "2m", .oval = HUGEPAGES_2M, .help = "2 MiB pages" },
			{ .ival = "1g", .oval = HUGEPAGES_1G, .help = "1 GiB pages" },
		},
	},
	{
		OPTION("hugepage_mem", "Shared memory", FIO_OPT_INT, hugepage_mem_mib,
		       "MiB of shared memory for this job's I/O buffers; 0: "
		       "what iodepth and bs need"),
		.def = "0", .maxval = 1048576,
	},
	{
		OPTION("connect_timeout", "Connect timeout", FIO_OPT_INT,
		       connect_timeout_s,
		       "Seconds that a back-end may take to answer"),
		.def = "5", .minval = 1, .maxval = 3600,
	},
	{
		OPTION("request_timeout", "Request timeout", FIO_OPT_INT,
		       request_timeout_s,
		       "Seconds without any completion after which requests in "
		       "flight fail; 0: none"),
		.def = "30", .maxval = 86400,
	},
	{
		OPTION("reconnect_timeout", "Reconnect timeout", FIO_OPT_INT,
		       reconnect_timeout_s,
		       "Seconds to wait for a back-end that hung up and is started "
		       "again; 0: its requests in flight fail at once"),
		.def = "0", .maxval = 86400,
	},
	{
		OPTION("stats_file", "Statistics file", FIO_OPT_STR_STORE,
		       stats_file,
		       "File for the engine's own counters: one line with a JSON "
		       "object for each job"),
	},
	{
		OPTION("explain", "Times of single requests", FIO_OPT_INT, explain,
		       "Take times of one request in so many (a power of two), and "
		       "write them to stats_file; 0: of none"),
		.def = "0", .maxval = 65536,
	},
	{
		OPTION("explain_watch", "CPU that watches the used rings", FIO_OPT_STR_STORE,
		       explain_watch,
		       "With explain: start a thread on this CPU that notes when requests are "
		       "in the used ring, for a back-end that takes no times itself"),
	},
	{ .name = NULL },
};

static int check_numbers(const struct options *options)
{
	for (const struct fio_option *o = fio_options; o->name; o++) {
		int value;

		if (o->type != FIO_OPT_INT)
			continue;
		memcpy(&value, (const char *)options + o->off1, sizeof(value));
		if (value < o->minval || value < 0 ||
		    (unsigned int)value > o->maxval)
			return error_set(EINVAL, "%s=%d: it must be from %d to "
				"%llu", o->name, value, o->minval,
				(unsigned long long)o->maxval);
	}
	return 0;
}

static int check_explain(const struct options *options)
{
	if (options->explain & (options->explain - 1))
		return error_set(EINVAL, "explain=%u: it must be a power of two",
				 options->explain);
	if (options->explain_watch && !options->explain)
		return error_set(EINVAL, "explain_watch=%s needs explain=, which takes the other "
				 "times of a request", options->explain_watch);
	if (options->explain && !options->stats_file)
		return error_set(EINVAL, "explain=%u needs stats_file=, where the times "
				 "are written", options->explain);
	return 0;
}

static int check_watch(const struct options *options)
{
	const char *text = options->explain_watch;
	char *end;
	unsigned long cpu;

	if (!text)
		return 0;
	cpu = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || cpu > INT_MAX)
		return error_set(EINVAL, "explain_watch=%s: it must be the number of a CPU",
				 text);
	return 0;
}

int fio_options_check(struct thread_data *td)
{
	int code = fio_refuse_promises(td);

	if (!code)
		code = check_numbers(td->eo);
	if (!code)
		code = check_explain(td->eo);
	if (!code)
		code = check_watch(td->eo);
	if (!code)
		fio_note_promises(td);
	return code;
}

void fio_name_remedies(void)
{
	remedies = (struct remedies){
		.all_memory = "set hugepage_mem to what all jobs need together, in MiB",
		.less_memory = "lower iodepth or bs, or free some memory",
		.smaller_queue = "choose a smaller queue_size",
		.as_root = "as root (sudo env \"LD_LIBRARY_PATH=$LD_LIBRARY_PATH\" fio)",
	};
}
