/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one bench; see backend_bench.h. */
#include "backend_bench.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "blk/blk.h"
#include "clock_stub.h"
#include "scsi/scsi.h"

#define MOST_TARGETS 2
#define MOST_LUNS 2

static struct bench bench;

static void open_once(void)
{
	const struct storage_options options = {
		.words = "memory",
		.bytes = BENCH_DISK_BYTES * MOST_TARGETS * MOST_LUNS,
		.log_fd = -1,
	};

	if (bench.storage.map)
		return;
	bench.worker.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	bench.workers.alarm_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (storage_open(&bench.storage, &options) || bench.worker.epoll_fd < 0 ||
	    latency_open(&bench.latency, "none"))
		abort();
}

static void make_device(struct device *device, bool is_scsi, const char *profile)
{
	memset(device, 0, sizeof(*device));
	device->ops = is_scsi ? &scsi_ops : &blk_ops;
	device->profile = profile_find(profile);
	device->request_queues = BENCH_QUEUES;
	device->target_count = is_scsi ? MOST_TARGETS : 1;
	device->lun_count = is_scsi ? MOST_LUNS : 1;
	device->disk_count = device->target_count * device->lun_count;
	device->ring_size_max = 256;
	device->size_max = device->profile->size_max;
	device->seg_max = device->profile->seg_max;
	device->discard_sectors_max = 64;
	device->discard_segments_max = 4;
	for (unsigned int i = 0; i < device->disk_count; i++)
		device->disks[i] = (struct disk){ .storage = &bench.storage,
						  .start_bytes = i * BENCH_DISK_BYTES,
						  .bytes = BENCH_DISK_BYTES,
						  .block_bytes = BENCH_BLOCK_BYTES,
						  .number = i };
}

static void make_worker(void)
{
	bench.workers = (struct workers){ .list = &bench.worker,
					  .count = 1,
					  .mode = SERVE_EVENT,
					  .device = &bench.device,
					  .latency = &bench.latency,
					  .faults = &bench.faults,
					  .log_fd = -1,
					  .alarm_fd = bench.workers.alarm_fd,
					  .publish_bytes = 4096 };
	bench.worker.all = &bench.workers;
	bench.worker.ring_count = 0;
	memset(&bench.worker.statistics, 0, sizeof(bench.worker.statistics));
}

struct bench *bench_begin(struct input *input)
{
	static const char *const profiles[] = { "builtin", "spdk", "qemu", "rust-vmm",
						"minimal" };
	static const char *const faults[] = {
		"", "", "", "", "", "delay:for=1ms,every=2", "lose:every=3",
		"delay:for=2ms twice:every=5 bad-id:every=7",
		"used-jump:by=3,every=4 error:every=5",
		"wrong-reply:every=3 short-reply:every=4 lose-reply:every=5",
	};
	unsigned int choices = (unsigned int)input_take(input, 1);
	unsigned int fault = (unsigned int)input_take(input, 1);
	uint64_t alarms;

	open_once();
	time_begin();
	memset(bench.storage.map, 0, bench.storage.bytes);
	make_device(&bench.device, choices & 1, profiles[choices / 2 % 5]);
	bench.device.disks[0].read_only = choices >> 6 & 1;
	make_worker();
	faults_clear(&bench.faults);
	if (faults_add(&bench.faults, bench.device.ops,
		       faults[fault % (sizeof(faults) / sizeof(faults[0]))]))
		abort();
	if (read(bench.workers.alarm_fd, &alarms, sizeof(alarms)) < 0)
		errno = 0;
	return &bench;
}

void bench_serve(struct bench *served)
{
	struct worker *worker = &served->worker;
	unsigned int i = 0, rounds = 0;

	while (i < worker->ring_count) {
		struct ring *ring = worker->rings[i].ring;
		unsigned int count = serve_ring(worker, &worker->rings[i]);

		require(ring->held.count <= ring->size, "a ring holds what it has room for");
		if (ring->broken)
			worker_remove_ring(worker, ring);
		else if (!count || ++rounds == 8)
			i++, rounds = 0;
	}
}
