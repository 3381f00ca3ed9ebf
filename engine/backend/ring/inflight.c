/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Creates, maps and recovers the record of requests in flight. Only the control
 * thread enters it. ring/split.c writes the entries of each request.
 */
#include "ring/inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/given_fd.h"
#include "memory/guard.h"

/* Each queue's part starts on its own cache line. */
enum { QUEUE_ALIGNMENT_BYTES = 64, INFLIGHT_VERSION = 1 };

static size_t queue_part_bytes(uint16_t queue_size)
{
	size_t bytes = sizeof(struct inflight_queue) +
		       queue_size * sizeof(struct inflight_entry);

	return (bytes + QUEUE_ALIGNMENT_BYTES - 1) &
	       ~(size_t)(QUEUE_ALIGNMENT_BYTES - 1);
}

size_t inflight_bytes(uint16_t queue_count, uint16_t queue_size)
{
	return queue_count * queue_part_bytes(queue_size);
}

static int check_file(int fd, uint64_t offset, uint64_t bytes,
		      uint16_t queue_count, uint16_t queue_size)
{
	int result = given_fd_check_memory(fd, "inflight memory: it");
	struct stat file;

	if (result)
		return result;
	if (!queue_count || !queue_size || bytes > INT64_MAX ||
	    offset > INT64_MAX - bytes ||
	    bytes < inflight_bytes(queue_count, queue_size) ||
	    fstat(fd, &file) || (uint64_t)file.st_size < offset + bytes)
		return error_record(-EINVAL,
				    "inflight memory: %" PRIu64
				    " bytes at %" PRIu64
				    " do not hold %u queues of %u "
				    "descriptors",
				    bytes, offset, queue_count, queue_size);
	return 0;
}

int inflight_map(struct inflight *inflight, int fd, uint64_t offset,
		 uint64_t bytes, uint16_t queue_count, uint16_t queue_size)
{
	uint64_t page_bytes, mapping_bytes;
	void *mapping;
	int result = check_file(fd, offset, bytes, queue_count, queue_size);

	if (result)
		return result;
	page_bytes = given_fd_page_bytes(fd);
	mapping_bytes = (bytes + page_bytes - 1) & ~(page_bytes - 1);
	mapping = mmap(NULL, mapping_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, offset);
	if (mapping == MAP_FAILED)
		return error_record(-errno, "inflight memory: mmap: %s",
				    strerror(errno));
	if (guard_watch(mapping, mapping_bytes)) {
		munmap(mapping, mapping_bytes);
		return -ENOMEM;
	}
	inflight_unmap(inflight);
	inflight->mapping = mapping;
	inflight->mapping_bytes = mapping_bytes;
	inflight->queue_bytes = queue_part_bytes(queue_size);
	inflight->queue_count = queue_count;
	inflight->queue_size = queue_size;
	return 0;
}

int inflight_create(struct inflight *inflight, uint16_t queue_count,
		    uint16_t queue_size)
{
	size_t bytes = inflight_bytes(queue_count, queue_size);
	int fd, result;

	fd = memfd_create("inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)) {
		result = error_record(-errno, "inflight memory: %zu bytes: %s",
				      bytes, strerror(errno));
		goto fail;
	}
	result = inflight_map(inflight, fd, 0, bytes, queue_count, queue_size);
	if (!result)
		return fd;
fail:
	if (fd >= 0)
		close(fd);
	return result;
}

void inflight_unmap(struct inflight *inflight)
{
	if (inflight->mapping) {
		guard_forget(inflight->mapping);
		munmap(inflight->mapping, inflight->mapping_bytes);
	}
	*inflight = (struct inflight){ 0 };
}

bool inflight_was_cut(const struct inflight *inflight)
{
	return inflight->mapping && guard_was_cut(inflight->mapping);
}

struct inflight_queue *inflight_of_queue(const struct inflight *inflight,
					 unsigned int index,
					 unsigned int ring_size)
{
	if (!inflight->mapping || index >= inflight->queue_count ||
	    ring_size > inflight->queue_size)
		return NULL;
	return (struct inflight_queue *)(inflight->mapping +
					 index * inflight->queue_bytes);
}

/* The previous back-end published a batch, but it ended before it cleared the
 * marks of the batch's entries. */
static void finish_last_batch(struct inflight_queue *queue,
			      unsigned int entry_count, uint16_t used_index)
{
	uint16_t batch = used_index - queue->used_index;
	uint16_t head = queue->last_batch_head;

	while (batch-- && head < entry_count) {
		queue->entries[head].inflight = 0;
		head = queue->entries[head].next;
	}
	queue->used_index = used_index;
}

struct taken {
	uint64_t counter;
	uint16_t head;
};

static int compare_counters(const void *a, const void *b)
{
	const struct taken *first = a, *second = b;

	return (first->counter > second->counter) -
	       (first->counter < second->counter);
}

static unsigned int collect_inflight(const struct inflight_queue *queue,
				     unsigned int entry_count,
				     struct taken *taken)
{
	unsigned int count = 0;
	unsigned int i;

	for (i = 0; i < entry_count; i++)
		if (queue->entries[i].inflight)
			taken[count++] = (struct taken){
				queue->entries[i].counter, i };
	qsort(taken, count, sizeof(*taken), compare_counters);
	return count;
}

int inflight_recover(struct inflight_queue *queue, unsigned int ring_size,
		     uint16_t used_index, uint16_t *heads,
		     uint64_t *next_counter)
{
	struct taken *taken;
	unsigned int count, i;

	*next_counter = 0;
	if (queue->version != INFLIGHT_VERSION) {
		queue->version = INFLIGHT_VERSION;
		queue->entry_count = ring_size;
		queue->used_index = used_index;
		return 0;
	}
	if (queue->used_index != used_index)
		finish_last_batch(queue, ring_size, used_index);
	taken = calloc(ring_size, sizeof(*taken));
	if (!taken)
		return error_record(-ENOMEM, "inflight memory: no memory for "
				    "the order of %u requests", ring_size);
	count = collect_inflight(queue, ring_size, taken);
	for (i = 0; i < count; i++) {
		heads[i] = taken[i].head;
		*next_counter = taken[i].counter + 1;
	}
	free(taken);
	return count;
}
