/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A rehearsal of a job: fio's own code reads a small file with fio's own engine vsync.
 * The structures are filled in, and then checked, by the headers that the engine was
 * compiled with. fio exports no table of the members of struct thread_data, io_u,
 * fio_file and ioengine_ops, but its code shows where they are.
 *
 * This runs in the child of fio/guard.c, because fio's code may crash here. All memory
 * that fio gets is zero except for what is filled in. If fio reads a member elsewhere,
 * it finds a null pointer, no flag, or descriptor 0, which is /dev/null.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fio/compat.h"
#include "fio/guard.h"

#define FILE_BYTES 3000
#define READ_FROM 1000
#define READ_BYTES 1500
#define FILENO 3
#define LOCK_MODE 99 /* a mode that does not lock */

/* The options of the engine in this rehearsal. */
struct rehearsal_options {
	void *td; /* fio's */
	unsigned int number;
};

static struct fio_option rehearsal_options[] = {
	{
		.name = "number",
		.lname = "number",
		.type = FIO_OPT_INT,
		.off1 = offsetof(struct rehearsal_options, number),
		.maxval = 10,
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{ .name = NULL },
};

static struct thread_data *td;
static struct io_u io_u;
static struct fio_file file;
static char buffer[FILE_BYTES];
static bool was_freed;
static bool was_queued;

#define EXPECT(structure, members, agrees) do { \
	fio_guard_note("struct " structure " has " members " elsewhere"); \
	fio_guard_expect(agrees); \
} while (0)
/* Notes a function that may crash, before it is called. */
#define CALL(function) \
	fio_guard_note("its " function " fails on those sources' structures")

/* ---- an engine of ours, whose hooks fio calls ----------------------------------- */

static int hook_iomem_alloc(struct thread_data *of, size_t bytes)
{
	if (bytes == sizeof(buffer))
		of->orig_buffer = buffer;
	return 0;
}

static void hook_iomem_free(struct thread_data *of)
{
	was_freed = of->orig_buffer == buffer;
}

static struct ioengine_ops own_engine = {
	.name = "rehearsal",
	.version = FIO_INTERFACE,
	.iomem_alloc = hook_iomem_alloc,
	.iomem_free = hook_iomem_free,
	.option_struct_size = sizeof(struct rehearsal_options),
	.options = rehearsal_options,
};

static void rehearse_option(void)
{
	struct rehearsal_options options = { .number = 0 };
	char value[] = "7";

	td->eo = &options;
	CALL("fio_cmd_ioengine_option_parse()");
	fio_cmd_ioengine_option_parse(td, "number", value);
	EXPECT("thread_data", "io_ops or eo", options.number == 7);
	td->eo = NULL;
}

static void rehearse_memory(void)
{
	int code;

	td->orig_buffer_size = sizeof(buffer);
	CALL("allocate_io_mem()");
	code = allocate_io_mem(td);
	EXPECT("ioengine_ops", "iomem_alloc", !code && td->orig_buffer == buffer);
	CALL("free_io_mem()");
	free_io_mem(td);
	EXPECT("ioengine_ops", "iomem_free", was_freed);
	EXPECT("thread_data", "orig_buffer", !td->orig_buffer);
}

static void rehearse_own_engine(void)
{
	td->io_ops = &own_engine;
	rehearse_option();
	rehearse_memory();
}

/* ---- fio's engines ------------------------------------------------------------------ */

static struct ioengine_ops *load(char *name)
{
	struct ioengine_ops *ops;

	td->o.ioengine = name;
	CALL("load_ioengine()");
	ops = load_ioengine(td);
	EXPECT("thread_data", "o", ops);
	EXPECT("ioengine_ops", "name", !strcmp(ops->name, name));
	EXPECT("ioengine_ops", "version", ops->version == FIO_INTERFACE);
	return ops;
}

/* If the structure is laid out differently, this member is a pointer or 0, so its value
 * is not that of a size. */
static void rehearse_option_size(void)
{
	const struct ioengine_ops *ops = load((char *)"cpuio");

	EXPECT("ioengine_ops", "option_struct_size",
	       ops->option_struct_size > 0 && ops->option_struct_size < 4096);
	EXPECT("ioengine_ops", "options", ops->options && ops->options->name);
}

static void rehearse_hooks(const struct ioengine_ops *ops)
{
	EXPECT("ioengine_ops", "flags", ops->flags & FIO_SYNCIO);
	EXPECT("ioengine_ops", "init", ops->init && !ops->setup && !ops->post_init);
	EXPECT("ioengine_ops", "open_file", ops->open_file == generic_open_file);
	EXPECT("ioengine_ops", "close_file", ops->close_file == generic_close_file);
	EXPECT("ioengine_ops", "get_file_size",
	       ops->get_file_size == generic_get_file_size);
}

/* ---- struct fio_file ------------------------------------------------------------------ */

static void rehearse_name(void)
{
	struct fio_file other = { .file_name = (char *)"other" };
	struct fio_file *files[] = { &other, &file };
	int found;

	td->files = files;
	td->o.nr_files = td->files_index = 2;
	CALL("get_fileno()");
	found = get_fileno(td, file.file_name);
	EXPECT("fio_file", "file_name, or thread_data files", found == 1);
	td->files = NULL;
}

static void rehearse_number(void)
{
	unsigned char locks[FILENO + 2] = { 0 };

	td->file_locks = locks;
	td->o.file_lock_mode = LOCK_MODE;
	file.lock = (void *)&file; /* it is not used */
	CALL("lock_file()");
	lock_file(td, &file, DDIR_READ);
	EXPECT("fio_file", "fileno", locks[FILENO] == LOCK_MODE);
	td->file_locks = NULL;
	td->o.file_lock_mode = FILE_LOCK_NONE;
	file.lock = NULL;
}

static void rehearse_error(void)
{
	int code;

	file.file_name = (char *)"";
	CALL("generic_get_file_size()");
	code = generic_get_file_size(td, &file);
	EXPECT("thread_data", "error", code && td->error == ENOENT);
	EXPECT("thread_data", "verror", !strncmp(td->verror, "file:", 5));
	td->error = 0;
}

static void rehearse_size(void)
{
	struct stat root = { .st_size = 0 };
	int code;

	file.file_name = (char *)"/";
	file.real_file_size = 1;
	CALL("generic_get_file_size()");
	code = stat("/", &root) ? 0 : generic_get_file_size(td, &file);
	EXPECT("fio_file", "filetype or real_file_size",
	       !code && file.real_file_size == (uint64_t)root.st_size);
	EXPECT("fio_file", "flags", fio_file_size_known(&file));
}

static void rehearse_file(void)
{
	file.filetype = FIO_TYPE_FILE;
	file.fileno = FILENO;
	file.file_name = (char *)"rehearsal";
	rehearse_name();
	rehearse_number();
	rehearse_error();
	rehearse_size();
}

/* ---- one read ----------------------------------------------------------------------------- */

static char content(int byte)
{
	return (char)(byte * 7 + byte / 256);
}

static void fill_file(void)
{
	char bytes[FILE_BYTES];

	for (int i = 0; i < FILE_BYTES; i++)
		bytes[i] = content(i);
	fio_guard_note("memfd_create: no file to read");
	file.fd = memfd_create("rehearsal", MFD_CLOEXEC);
	fio_guard_expect(file.fd >= 0 &&
			 write(file.fd, bytes, sizeof(bytes)) == sizeof(bytes));
	fio_file_set_open(&file);
}

/* fio calls it after the engine's queue hook, and resets zbd_queue_io. */
static void note_queued(struct thread_data *of, struct io_u *queued)
{
	was_queued = of == td && queued == &io_u;
}

static void fill_io_u(void)
{
	io_u.file = &file;
	io_u.ddir = io_u.acct_ddir = DDIR_READ;
	io_u.offset = READ_FROM;
	io_u.buf = io_u.xfer_buf = buffer;
	io_u.buflen = io_u.xfer_buflen = READ_BYTES;
	io_u.error = 1;
	io_u.issue_time.tv_nsec = -1;
	/* Further arguments differ between releases. */
	io_u.zbd_queue_io = (void *)note_queued;
}

static void rehearse_queue(void)
{
	enum fio_q_status status;

	td->cur_depth = 1;
	td->o.iodepth_batch = 1;
	td->o.read_iolog_file = (char *)"rehearsal"; /* for last_issue */
	td_set_ioengine_flags(td);
	CALL("td_io_queue()");
	status = td_io_queue(td, &io_u);
	EXPECT("io_u", "flags or ddir", status == FIO_Q_QUEUED);
	EXPECT("io_u", "zbd_queue_io", was_queued && !io_u.zbd_queue_io);
	EXPECT("io_u", "issue_time", io_u.issue_time.tv_nsec != -1);
	EXPECT("thread_data", "last_issue",
	       td->last_issue.tv_nsec == io_u.issue_time.tv_nsec);
	td->o.read_iolog_file = NULL;
}

static void rehearse_getevents(const struct ioengine_ops *ops)
{
	const struct io_u *found;
	int count;

	CALL("td_io_getevents()");
	count = td_io_getevents(td, 1, 1, NULL);
	EXPECT("ioengine_ops", "getevents", count == 1);
	CALL("engine's event()");
	found = ops->event(td, 0);
	EXPECT("ioengine_ops", "event", found == &io_u);
}

static void look_at_result(void)
{
	bool is_read = true;
	bool is_more = false;

	for (int i = 0; i < READ_BYTES; i++)
		is_read &= buffer[i] == content(READ_FROM + i);
	for (int i = READ_BYTES; i < FILE_BYTES; i++)
		is_more |= buffer[i] != 0;
	EXPECT("io_u", "file, offset, xfer_buf or xfer_buflen", is_read && !is_more);
	EXPECT("io_u", "error", !io_u.error);
}

/* If fio read ddir elsewhere, it would find 0, which means a read. */
static void rehearse_sync(const struct ioengine_ops *ops)
{
	enum fio_q_status status;

	io_u.ddir = DDIR_SYNC;
	CALL("engine's queue()");
	status = ops->queue(td, &io_u);
	EXPECT("io_u", "ddir", status == FIO_Q_COMPLETED);
}

static void rehearse_read(void)
{
	struct ioengine_ops *ops = load((char *)"vsync");
	int code;

	rehearse_hooks(ops);
	td->io_ops = ops;
	td->o.iodepth = 1;
	CALL("td_io_init()");
	code = td_io_init(td);
	EXPECT("thread_data", "io_ops_data", !code && td->io_ops_data);
	fill_file();
	fill_io_u();
	rehearse_queue();
	rehearse_getevents(ops);
	look_at_result();
	rehearse_sync(ops);
	CALL("engine's cleanup()");
	ops->cleanup(td);
}

/* ---- the end of a job ---------------------------------------------------------------------------- */

static void rehearse_end(void)
{
	bool is_named;

	CALL("td_set_runstate()");
	td_set_runstate(td, TD_FSYNCING);
	EXPECT("thread_data", "runstate", td->runstate == TD_FSYNCING);
	CALL("runstate_to_name()");
	is_named = !strcmp(runstate_to_name(TD_FSYNCING), "FSYNCING");
	fio_guard_note("TD_FSYNCING has another value");
	fio_guard_expect(is_named);
	CALL("fio_mark_td_terminate()");
	fio_mark_td_terminate(td);
	EXPECT("thread_data", "terminate", td->terminate);
}

void fio_rehearse(void)
{
	fio_guard_note("no memory for a struct thread_data");
	td = calloc(1, sizeof(*td));
	fio_guard_expect(td);
	INIT_FLIST_HEAD(&td->opt_list);
	td->o.td_ddir = TD_DDIR_READ;
	rehearse_own_engine();
	rehearse_option_size();
	rehearse_file();
	rehearse_read();
	rehearse_end();
}
