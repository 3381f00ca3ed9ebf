/*
 * Prints how often the C library allocates memory for 10,000 operations of all
 * kinds, after some that warm it up. allocates SOCKET
 */
#include <pyfio_virtio.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#define BATCH 32u
#define BLOCK 4096u

/* glibc's own, behind those that this program replaces. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *address, size_t size);

static unsigned long allocations;

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocations++;
	return __libc_calloc(count, size);
}

void *realloc(void *address, size_t size)
{
	allocations++;
	return __libc_realloc(address, size);
}

static struct pyfio_operation ops[BATCH];
static struct iovec parts[BATCH][2];
static char private_memory[BATCH][BLOCK];
static char large[4 * 64 << 10]; /* more than one bounce buffer */

static void fill(struct pyfio_operation *op, unsigned int i, char *shared)
{
	static const int types[] = { PYFIO_OPERATION_READ, PYFIO_OPERATION_WRITE,
				     PYFIO_OPERATION_WRITE_ZEROES, PYFIO_OPERATION_FLUSH };

	op->struct_size = sizeof(*op);
	op->type = types[i % 4];
	op->offset_bytes = i * BLOCK + (i & 8 ? 5 : 0);
	op->size_bytes = BLOCK;
	op->buffer = i & 16 ? private_memory[i] : shared + i * BLOCK;
	op->flags = i % 4 == 1 ? PYFIO_OPERATION_FUA : i == 7 ? PYFIO_OPERATION_BARRIER : 0;
	if (i % 4 < 2 && i & 4) {
		parts[i][0] = (struct iovec){ op->buffer, 1000 };
		parts[i][1] = (struct iovec){ (char *)op->buffer + 1000, BLOCK - 1000 };
		op->iov = parts[i];
		op->iov_count = 2;
		op->buffer = NULL;
		op->size_bytes = 0;
	}
}

static int one_batch(struct pyfio_device *dev, struct pyfio_async *async)
{
	struct pyfio_operation *list[BATCH];
	unsigned int done = 0;
	int count;

	for (unsigned int i = 0; i < BATCH; i++)
		list[i] = &ops[i];
	if (pyfio_async_submit_many(async, list, BATCH) != (int)BATCH)
		return 0;
	while (done < BATCH && pyfio_async_completed(async, BATCH - done, -1) > 0) {
		count = pyfio_async_collect(async, list, BATCH);
		if (count <= 0 || list[count - 1]->result < 0)
			return 0;
		done += (unsigned int)count;
	}
	return done == BATCH &&
	       pyfio_device_read(dev, large, sizeof(large), 5) == sizeof(large);
}

int main(int argc, char **argv)
{
	struct pyfio_device_config config = PYFIO_INIT(pyfio_device_config);
	struct pyfio_device *dev;
	struct pyfio_async *async;
	char *shared;

	config.socket = argc == 2 ? argv[1] : NULL;
	if (pyfio_device_attach(&dev, &config, NULL) || pyfio_async_open(&async, dev))
		return 1;
	shared = pyfio_device_alloc(dev, BATCH * BLOCK, 0);
	for (unsigned int i = 0; shared && i < BATCH; i++)
		fill(&ops[i], i, shared);
	for (unsigned int round = 0; shared && round < 2; round++) {
		allocations = 0;
		for (unsigned int i = 0; i < (round ? 10000 / BATCH : 10); i++)
			if (!one_batch(dev, async))
				return 2;
	}
	printf("%lu\n", allocations);
	pyfio_async_close(async);
	pyfio_device_detach(dev);
	return !shared;
}
