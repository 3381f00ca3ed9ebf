/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Creates a back-end from a configuration; this is the entry of the shared
 * object. It checks every option and says what is wrong with it. Any thread may
 * call it; it is never on the request path.
 */
#include "api.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/caller.h"
#include "base/error.h"
#include "blk/blk.h"
#include "scsi/scsi.h"
#include "server/server.h"

enum {
	DEFAULT_RING_SIZE_MAX = 1024,
	DEFAULT_DISCARD_SECTORS = 4194304, /* 2 GiB */
	DEFAULT_DISCARD_SEGMENTS = 16,
	THREADS_MAX = 64,
	/* After so many bytes of data, completed requests are published before
	 * the batch ends. Null storage moves no data, so there it is fastest to
	 * publish a whole batch at once. */
	PUBLISH_BYTES = 16384,
};

#define DEFAULT_SIZE_BYTES (UINT64_C(1) << 30)

struct backend {
	struct server server;
	int cpus[CPU_SETSIZE]; /* of the workers */
	unsigned int cpu_count;
};

static const char *or_default(const char *words, const char *otherwise)
{
	return words && *words ? words : otherwise;
}

static uint32_t or_number(uint32_t number, uint32_t otherwise)
{
	return number ? number : otherwise;
}

/* ---- the device --------------------------------------------------------- */

static int choose_device(struct device *device, const char *name,
			 const char *profile_name)
{
	device->profile = profile_find(profile_name);
	if (!device->profile)
		return error_record(-EINVAL,
				    "profile '%s' is unknown: use builtin, "
				    "spdk, qemu, rust-vmm or minimal",
				    profile_name);
	if (!strcmp(name, "blk"))
		device->ops = &blk_ops;
	else if (!strcmp(name, "scsi"))
		device->ops = &scsi_ops;
	else
		return error_record(-EINVAL,
				    "device '%s' is unknown: use blk or scsi",
				    name);
	return 0;
}

static int check_range(const char *what, uint32_t number, uint32_t most)
{
	if (number >= 1 && number <= most)
		return 0;
	return error_record(-EINVAL, "%u %s: 1 to %u are allowed", number,
			    what, most);
}

static int set_shape(struct device *device, const struct backend_config *config)
{
	const bool is_scsi = device->ops == &scsi_ops;
	int result;

	device->request_queues = or_number(config->queue_count, 1);
	device->target_count = or_number(config->target_count, 1);
	device->lun_count = or_number(config->lun_count, 1);
	result = check_range("queues", device->request_queues,
			     DEVICE_QUEUES_MAX - device->ops->first_request_queue);
	if (!result)
		result = check_range("targets", device->target_count,
				     is_scsi ? DEVICE_TARGETS_MAX : 1);
	if (!result)
		result = check_range("LUNs", device->lun_count,
				     is_scsi ? DEVICE_LUNS_MAX : 1);
	device->disk_count = device->target_count * device->lun_count;
	return result;
}

static int set_limits(struct device *device,
		      const struct backend_config *config)
{
	const struct profile *profile = device->profile;
	uint32_t most = or_number(config->queue_size_max,
				  DEFAULT_RING_SIZE_MAX);

	if (most & (most - 1))
		return error_record(-EINVAL,
				    "queue size %u is not a power of two",
				    most);
	device->ring_size_max =
		most < profile->ring_size_max ? most : profile->ring_size_max;
	device->size_max = or_number(config->size_max, profile->size_max);
	device->seg_max = or_number(config->seg_max, profile->seg_max);
	device->discard_sectors_max =
		or_number(config->discard_sectors_max, DEFAULT_DISCARD_SECTORS);
	device->discard_segments_max = or_number(config->discard_segments_max,
						 DEFAULT_DISCARD_SEGMENTS);
	return 0;
}

/* ---- the disks ---------------------------------------------------------- */

/* Each disk is a slice of the storage; all slices have the same size. */
static void slice_storage(struct server *server, uint32_t block_bytes,
			  bool read_only)
{
	struct device *device = &server->device;
	uint64_t slice_bytes = server->storage.bytes / device->disk_count;
	unsigned int i;

	slice_bytes -= slice_bytes % block_bytes;
	for (i = 0; i < device->disk_count; i++)
		device->disks[i] = (struct disk){
			.storage = &server->storage,
			.start_bytes = i * slice_bytes,
			.bytes = slice_bytes,
			.block_bytes = block_bytes,
			.read_only = read_only,
			.number = i,
		};
}

/* With direct access the file may need larger blocks. */
static int fit_blocks(const struct storage *storage, const char *words,
		      uint32_t wanted, uint32_t *block_bytes)
{
	if (!wanted && storage->direct_bytes > *block_bytes)
		*block_bytes = storage->direct_bytes;
	if (storage->direct_bytes <= *block_bytes && *block_bytes <= 4096)
		return 0;
	return error_record(-EINVAL,
			    "storage %s: direct=on: its device needs blocks of %u "
			    "bytes, and the disk has blocks of %u: use another "
			    "block size (512 or 4096) or direct=off",
			    words, storage->direct_bytes, *block_bytes);
}

static int open_disks(struct backend *backend,
		      const struct backend_config *config)
{
	struct server *server = &backend->server;
	const char *storage = or_default(config->storage, "memory");
	uint32_t block_bytes = or_number(config->block_bytes, SECTOR_BYTES);
	uint64_t bytes = config->size_bytes;
	bool is_null = !strcmp(storage, "null");
	int result;

	if (block_bytes != 512 && block_bytes != 4096)
		return error_record(-EINVAL, "block size %u: use 512 or 4096",
				    block_bytes);
	if (config->direct && !storage_file_path(storage))
		return error_record(-EINVAL, "direct=on has no meaning for storage "
				    "%s: use storage file:PATH", storage);
	if (!bytes && (is_null || !strcmp(storage, "memory")))
		bytes = DEFAULT_SIZE_BYTES;
	if (bytes % block_bytes || bytes > INT64_MAX / server->device.disk_count)
		return error_record(-EINVAL,
				    "size %" PRIu64 " is not a multiple of the "
				    "block size %u, or it is too large",
				    bytes, block_bytes);
	result = storage_open(&server->storage,
			      &(struct storage_options){
				      .words = storage,
				      .bytes = bytes * server->device.disk_count,
				      .read_only = config->read_only,
				      .direct = config->direct,
				      .may_map = config->own_process,
				      .populate = config->populate,
				      .populate_huge = config->populate_huge,
				      .cpus = { backend->cpus,
						backend->cpu_count },
				      .log_fd = config->log_fd });
	if (!result)
		result = fit_blocks(&server->storage, storage,
				    config->block_bytes, &block_bytes);
	if (result)
		return result;
	slice_storage(server, block_bytes, config->read_only);
	if (!server->device.disks[0].bytes)
		return error_record(-EINVAL, "storage %s is too small", storage);
	server->device.has_no_flush =
		is_null && server->device.profile->null_lacks_flush;
	server->workers.publish_bytes = is_null ? UINT_MAX : PUBLISH_BYTES;
	return 0;
}

/* Only a file makes a worker wait, and only if it is not in memory. */
static int choose_aio(struct server *server, const char *storage,
		      const char *words)
{
	static const char *const names[] = { [AIO_OFF] = "off",
					     [AIO_THREADS] = "threads",
					     [AIO_URING] = "io_uring",
					     [AIO_AUTO] = "auto" };
	enum aio_kind kind = AIO_OFF;

	while (kind < AIO_AUTO && strcmp(words, names[kind]))
		kind++;
	if (strcmp(words, names[kind]))
		return error_record(-EINVAL, "aio '%s' is unknown: use auto, "
				    "io_uring, threads or off", words);
	if (!storage_file_path(storage)) {
		if (kind != AIO_AUTO)
			return error_record(-EINVAL, "aio=%s has no meaning for "
					    "storage %s: use storage file:PATH",
					    words, storage);
		kind = AIO_OFF;
	}
	if (kind == AIO_AUTO && file_is_in_memory(&server->storage))
		kind = AIO_OFF;
	server->workers.aio = kind;
	return 0;
}

/* ---- the workers -------------------------------------------------------- */

static int choose_serve_mode(struct workers *workers, const char *name)
{
	if (!strcmp(name, "poll"))
		workers->mode = SERVE_POLL;
	else if (!strcmp(name, "event"))
		workers->mode = SERVE_EVENT;
	else if (!strcmp(name, "adaptive"))
		workers->mode = SERVE_ADAPTIVE;
	else
		return error_record(-EINVAL,
				    "serve '%s' is unknown: use poll, event "
				    "or adaptive",
				    name);
	return 0;
}

/* Reads a list such as "0,2-3". */
static int parse_cpus(const char *words, int *cpus, unsigned int *count)
{
	const char *at = words;

	*count = 0;
	while (*at) {
		char *end;
		long first = strtol(at, &end, 10), last = first;

		if (end == at)
			break;
		if (*end == '-')
			last = strtol(end + 1, &end, 10);
		if (first < 0 || last < first || last >= CPU_SETSIZE)
			break;
		for (; first <= last && *count < CPU_SETSIZE; first++)
			cpus[(*count)++] = first;
		if (*end && *end != ',')
			break;
		at = *end ? end + 1 : end;
	}
	if (*at)
		return error_record(-EINVAL, "CPUs '%s': write them as 1 or 0,2-3",
				    words);
	return 0;
}

static int start_workers(struct backend *backend,
			 const struct backend_config *config)
{
	struct server *server = &backend->server;
	struct workers *workers = &server->workers;
	uint32_t threads = or_number(config->thread_count, 1);
	int result;

	result = choose_serve_mode(workers,
				   or_default(config->serve, "adaptive"));
	if (!result)
		result = check_range("threads", threads, THREADS_MAX);
	if (result)
		return result;
	workers->device = &server->device;
	workers->latency = &server->latency;
	workers->faults = &server->faults;
	workers->log_fd = config->log_fd;
	workers->trace_path = server->explain_path;
	workers->trace_every = or_number(config->explain_every, 64);
	return workers_start(workers, threads, backend->cpus,
			     backend->cpu_count);
}

/* The times of single requests are appended to a file, which is emptied here. */
static int check_explain(const struct backend_config *config)
{
	uint32_t every = or_number(config->explain_every, 1);
	int fd;

	if (every & (every - 1) || every > 65536)
		return error_record(-EINVAL, "explain %u is not a power of two up to "
				    "65536", every);
	if (!config->explain_path || !*config->explain_path)
		return 0;
	fd = open(config->explain_path,
		  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
	if (fd < 0)
		return error_record(-errno, "the file %s for times cannot be "
				    "written: %s", config->explain_path, strerror(errno));
	close(fd);
	return 0;
}

/* ---- start and stop ----------------------------------------------------- */

static int copy_paths(struct server *server,
		      const struct backend_config *config)
{
	if (!config->socket_path || !*config->socket_path)
		return error_record(-EINVAL, "no socket was named");
	server->socket_path = strdup(config->socket_path);
	if (config->control_path && *config->control_path)
		server->control_path = strdup(config->control_path);
	if (config->explain_path && *config->explain_path)
		server->explain_path = strdup(config->explain_path);
	server->socket_fd = config->socket_fd;
	server->log_fd = config->log_fd;
	server->own_process = config->own_process;
	server->clients_max = config->clients_max;
	return 0;
}

static int set_up(struct backend *backend, const struct backend_config *config)
{
	struct server *server = &backend->server;
	int result = copy_paths(server, config);

	if (!result)
		result = parse_cpus(or_default(config->cpus, ""),
				    backend->cpus, &backend->cpu_count);
	if (!result)
		result = choose_device(&server->device,
				       or_default(config->device, "blk"),
				       or_default(config->profile, "builtin"));
	if (!result)
		result = set_shape(&server->device, config);
	if (!result)
		result = set_limits(&server->device, config);
	if (!result)
		result = latency_open(&server->latency,
				      or_default(config->latency, "none"));
	if (!result)
		result = faults_add(&server->faults, server->device.ops,
				    or_default(config->fault, ""));
	if (!result)
		result = check_explain(config);
	/* This is last because it can take long. */
	if (!result)
		result = open_disks(backend, config);
	if (!result)
		result = choose_aio(server, or_default(config->storage, "memory"),
				    or_default(config->aio, "auto"));
	return result;
}

static void tear_down(struct server *server)
{
	latency_close(&server->latency);
	storage_close(&server->storage);
	free(server->control_path);
	free(server->explain_path);
	free(server->socket_path);
}

struct backend *backend_start(const struct backend_config *config)
{
	struct backend *backend = calloc(1, sizeof(*backend));
	struct server *server;

	if (!backend) {
		error_record(-ENOMEM, "no memory for a back-end");
		return NULL;
	}
	server = &backend->server;
	server->storage.fd = -1;
	if (set_up(backend, config))
		goto fail;
	if (start_workers(backend, config))
		goto fail;
	if (server_start(server))
		goto fail_started;
	return backend;
fail_started:
	workers_stop(&server->workers);
fail:
	tear_down(server);
	free(backend);
	return NULL;
}

void backend_stop(struct backend *backend)
{
	server_stop(&backend->server);
	workers_stop(&backend->server.workers);
	tear_down(&backend->server);
	free(backend);
}

void backend_command(struct backend *backend, const char *line, char *answer,
		     unsigned int room)
{
	pthread_mutex_lock(&backend->server.lock);
	control_command(&backend->server, line, answer, room);
	caller_end();
	pthread_mutex_unlock(&backend->server.lock);
}

const char *backend_error(void)
{
	return error_sentence();
}
