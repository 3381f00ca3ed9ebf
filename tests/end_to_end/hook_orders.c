/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An engine for fio that stands before ours and calls its hooks in orders of its
 * own: every order of each length up to HOOK_LENGTH, then HOOK_RANDOM longer ones
 * at random, all with one job's real data and a real back-end.
 *
 * It does so in init, with what fio has made by then (without setup: it is to be run
 * with create_serialize=0), and lets init fail, so that fio's own calls after a
 * failed init come last. An order ends with iomem_free and
 * cleanup; then no descriptor and no shared memory may be left. A request is made
 * only where fio would make one: of an open file, in buffers.
 *
 * What is wrong is told on stderr in lines that begin with "hooks:". With
 * HOOK_FAILURES=1 requests may fail.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "fio.h"

#define BUFFER_BYTES (4 * 4096)
#define RANDOM_LENGTH 16
#define MAX_FILES 4

/* As in fio/compat.h. */
#if FIO_IOOPS_VERSION >= 36
#define ERRDETAILS(td) td, &request
#else
#define ERRDETAILS(td) &request
#endif

enum hook { SETUP, INIT, IO_U_INIT, IOMEM_ALLOC, OPEN, REQUEST, IOMEM_FREE,
	    IO_U_FREE, CLEANUP, NUM_HOOKS };
static const char letters[] = "SIUBORFVX";

static struct ioengine_ops *engine;
static struct ioengine_ops stand_in;
static struct io_u request;
static bool is_open[MAX_FILES];
static unsigned int num_requests;

static int number(const char *name)
{
	return atoi(getenv(name));
}

/* ---- what is left ----------------------------------------------------------- */

static unsigned int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static unsigned int count_regions(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned int count = 0;

	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "memfd:pyfio-virtio") != NULL;
	fclose(maps);
	return count;
}

/* ---- the hooks -------------------------------------------------------------- */

static void open_files(struct thread_data *td)
{
	struct fio_file *f;
	unsigned int i;

	for_each_file(td, f, i)
		is_open[i] = !engine->open_file(td, f);
}

static void close_files_again(struct thread_data *td)
{
	struct fio_file *f;
	unsigned int i;

	for_each_file(td, f, i)
		if (is_open[i])
			engine->close_file(td, f);
	memset(is_open, 0, sizeof(is_open));
}

static void make_request(struct thread_data *td, struct fio_file *f)
{
	void *engine_data = request.engine_data;

	memset(&request, 0, sizeof(request));
	request.engine_data = engine_data;
	request.file = f;
	request.ddir = request.acct_ddir = DDIR_READ;
	request.xfer_buf = request.buf = td->orig_buffer;
	request.xfer_buflen = request.buflen = 4096;
	if (engine->queue(td, &request) == FIO_Q_QUEUED) {
		engine->commit(td);
		if (engine->getevents(td, 1, 1, NULL) != 1 ||
		    engine->event(td, 0) != &request)
			fprintf(stderr, "hooks: a request did not come back\n");
	}
	num_requests++;
	if (request.error)
		free(engine->errdetails(ERRDETAILS(td)));
	if (request.error && !number("HOOK_FAILURES"))
		fprintf(stderr, "hooks: a request failed: %d\n", request.error);
}

static void make_requests(struct thread_data *td)
{
	struct fio_file *f;
	unsigned int i;

	if (!td->orig_buffer)
		return;
	for_each_file(td, f, i)
		if (is_open[i])
			make_request(td, f);
}

static void call(struct thread_data *td, enum hook hook)
{
	switch (hook) {
	case SETUP:
		engine->setup(td);
		break;
	case INIT:
		engine->init(td);
		break;
	case IO_U_INIT:
		engine->io_u_init(td, &request);
		break;
	case IOMEM_ALLOC:
		/* fio gives back what it has before it asks for more. */
		if (!td->orig_buffer)
			engine->iomem_alloc(td, BUFFER_BYTES);
		break;
	case OPEN:
		open_files(td);
		break;
	case REQUEST:
		make_requests(td);
		break;
	case IOMEM_FREE:
		engine->iomem_free(td);
		break;
	case IO_U_FREE:
		engine->io_u_free(td, &request);
		break;
	default:
		/* fio closes files before. */
		close_files_again(td);
		engine->cleanup(td);
	}
}

/* ---- orders ----------------------------------------------------------------- */

static void check_nothing_is_left(struct thread_data *td, const char *order,
				  unsigned int descriptors)
{
	unsigned int now = count_descriptors(), regions = count_regions();

	if (now != descriptors || regions || td->io_ops_data || td->orig_buffer)
		fprintf(stderr, "hooks: %s left %d descriptors, %u regions, job %p, "
			"buffers %p\n", order, (int)(now - descriptors), regions,
			td->io_ops_data, td->orig_buffer);
}

/* As fio's main thread hands the job over. */
static void begin_anew(struct thread_data *td)
{
	struct fio_file *f;
	unsigned int i;

	td->error = 0;
	td->terminate = false;
	for_each_file(td, f, i)
		fio_file_clear_size_known(f);
}

static void run_order(struct thread_data *td, const enum hook *hooks, int length)
{
	char order[RANDOM_LENGTH + 1] = "";
	unsigned int descriptors = count_descriptors();

	begin_anew(td);
	for (int i = 0; i < length; i++)
		order[i] = letters[hooks[i]];
	for (int i = 0; i < length; i++)
		call(td, hooks[i]);
	call(td, IO_U_FREE);
	call(td, IOMEM_FREE);
	call(td, CLEANUP);
	check_nothing_is_left(td, order, descriptors);
}

static void run_all_of_length(struct thread_data *td, int length)
{
	enum hook hooks[RANDOM_LENGTH];
	unsigned int count = 1;

	for (int i = 0; i < length; i++)
		count *= NUM_HOOKS;
	for (unsigned int number = 0; number < count; number++) {
		unsigned int rest = number;

		for (int i = 0; i < length; i++, rest /= NUM_HOOKS)
			hooks[i] = rest % NUM_HOOKS;
		run_order(td, hooks, length);
	}
}

static void run_at_random(struct thread_data *td)
{
	enum hook hooks[RANDOM_LENGTH];

	for (int i = 0; i < RANDOM_LENGTH; i++)
		hooks[i] = rand() % NUM_HOOKS;
	run_order(td, hooks, RANDOM_LENGTH);
}

static int run_orders(struct thread_data *td)
{
	/* Each setup is a phase of its own: no queues are wanted for all of them. */
	td->o.stonewall = 1;
	srand((unsigned int)number("HOOK_SEED"));
	for (int length = 1; length <= number("HOOK_LENGTH"); length++)
		run_all_of_length(td, length);
	for (int count = number("HOOK_RANDOM"); count > 0; count--)
		run_at_random(td);
	fprintf(stderr, "hooks: done, %s\n", num_requests ? "with requests" : "without");
	return 1;
}

__attribute__((visibility("default"))) void get_ioengine(struct ioengine_ops **ops);

void get_ioengine(struct ioengine_ops **ops)
{
	void *library = dlopen(getenv("HOOK_ENGINE"), RTLD_LAZY);
	void (*get_engine)(struct ioengine_ops **) = NULL;

	*ops = NULL;
	if (library)
		get_engine = (void (*)(struct ioengine_ops **))dlsym(library, "get_ioengine");
	if (!get_engine)
		return;
	get_engine(&engine);
	stand_in = *engine;
	stand_in.init = run_orders;
	*ops = &stand_in;
}
