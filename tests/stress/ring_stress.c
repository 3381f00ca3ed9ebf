/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two threads over one virtqueue: the driver is the engine's virtq*.c, the
 * device is a ring of this file's own, written from virtio 1.2, 2.7.
 *
 * Batches are of random sizes, and both sides now look, now sleep on their
 * eventfd. A request carries a number that the device answers, so that stale
 * data is found; the thread sanitizer finds what is read without order; a lost
 * kick or call leaves its side asleep, and is told after SLEEP_LIMIT_MS. Whether
 * a store that a load overtakes (barriers C and D) is caught is a matter of
 * chance: the two threads must run at once, to within nanoseconds.
 *
 * usage: ring_stress REQUESTS SEED [indirect] [event_idx]
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ring/virtq.h"

#define RING_SIZE 64
#define CHAIN_LENGTH 3
#define MOST_CHAINS 64
#define SLEEP_LIMIT_MS 20000
#define CELL sizeof(uint64_t)
#define ANSWER(number) ((number) * 0x9e3779b97f4a7c15ull + 1)

/* What the device may have to write beside the response: a cell per chain. */
static uint64_t data[MOST_CHAINS];

static struct {
	struct virtq vq;
	uint64_t requests;
	uint64_t seed;
	int kick_fd;
	int call_fd;
} shared;

/* Written by the driver, printed after both threads ended. */
static struct {
	uint64_t random, number, reaped, kicks, sleeps;
	uint64_t expected[MOST_CHAINS];
	uint16_t free_chains[MOST_CHAINS];
	unsigned int num_free;
} driver;

/* Written by the device, printed after both threads ended. */
static struct {
	uint64_t random, completed, calls, sleeps;
	uint16_t avail_next, used_next;
} device;

static uint64_t draw(uint64_t *state, uint64_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state % below;
}

/* Looks before a sleep: from one to thousands, each magnitude as often, so that
 * the other side meets every step of falling asleep. */
static uint64_t draw_patience(uint64_t *random)
{
	uint64_t magnitude = 1ull << draw(random, 12);

	return 1 + draw(random, magnitude);
}

static void fail(const char *who, const char *what)
{
	fprintf(stderr, "%s: %s (driver: avail %u, used %u; shown: avail %u, used %u)\n",
		who, what, (uint16_t)shared.vq.avail_next, shared.vq.used_next,
		__atomic_load_n(&shared.vq.avail->idx, __ATOMIC_SEQ_CST),
		__atomic_load_n(&shared.vq.used->idx, __ATOMIC_SEQ_CST));
	_exit(1);
}

static void notify(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		fail("eventfd", "cannot write");
}

static void sleep_on(int fd, const char *who, const char *what)
{
	struct pollfd watched = { .fd = fd, .events = POLLIN };
	uint64_t count;

	if (poll(&watched, 1, SLEEP_LIMIT_MS) != 1)
		fail(who, what);
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		fail(who, "cannot read its eventfd");
}

/* ---- driver: the engine ---------------------------------------------------- */

static void submit_one(void)
{
	uint16_t chain = driver.free_chains[--driver.num_free], length = 0;
	struct vring_desc *desc = virtq_chain(&shared.vq, chain);
	uint64_t *request = virtq_request(&shared.vq, chain);

	driver.expected[chain] = ANSWER(driver.number);
	*request = driver.number++;
	virtq_set_desc(&desc[length++], request, CELL, VRING_DESC_F_NEXT);
	if (draw(&driver.random, 2))
		virtq_set_desc(&desc[length++], &data[chain], CELL,
			       VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	else
		data[chain] = driver.expected[chain];
	virtq_set_desc(&desc[length++], virtq_response(&shared.vq, chain), CELL,
		       VRING_DESC_F_WRITE);
	virtq_submit(&shared.vq, chain, length);
}

static void submit_some(void)
{
	uint64_t most = draw(&driver.random, 2) ? 2 : driver.num_free + 1;
	uint64_t count = 1 + draw(&driver.random, most);

	while (count-- && driver.num_free && driver.number < shared.requests)
		submit_one();
	virtq_publish(&shared.vq);
	if (virtq_needs_kick(&shared.vq)) {
		driver.kicks++;
		notify(shared.kick_fd);
	}
}

static int reap_some(void)
{
	uint16_t chains[MOST_CHAINS];
	int count = virtq_reap(&shared.vq, chains,
			       1 + (unsigned int)draw(&driver.random, MOST_CHAINS));

	if (count < 0)
		fail("driver", "the ring is broken");
	for (int i = 0; i < count; i++) {
		uint64_t *answer = virtq_response(&shared.vq, chains[i]);

		if (*answer != driver.expected[chains[i]] ||
		    data[chains[i]] != driver.expected[chains[i]])
			fail("driver", "an answer is stale");
		driver.free_chains[driver.num_free++] = chains[i];
	}
	driver.reaped += (uint64_t)count;
	return count;
}

static void driver_sleep(void)
{
	if (!virtq_ask_calls(&shared.vq)) {
		driver.sleeps++;
		sleep_on(shared.call_fd, "driver", "no call came");
	}
	virtq_refuse_calls(&shared.vq);
}

/* Looks once, or sleeps when it has looked in vain often enough. */
static void driver_wait(uint64_t *patience)
{
	if (reap_some() || !shared.vq.in_flight)
		*patience = draw_patience(&driver.random);
	else if (!--*patience)
		driver_sleep();
	*patience += !*patience;
}

/* A lost kick is made good by the next one: so the driver often waits until all
 * is back before it submits more. */
static void *run_driver(void *unused)
{
	uint64_t patience = 1;

	while (driver.reaped < shared.requests) {
		bool drains = draw(&driver.random, 2);

		submit_some();
		do
			driver_wait(&patience);
		while (drains && shared.vq.in_flight);
	}
	return unused;
}

/* ---- device: 2.7, by itself ------------------------------------------------ */

static void serve(uint16_t head)
{
	struct vring_desc *table = shared.vq.desc, *desc = &table[head];
	uint64_t answer;

	if (desc->flags & VRING_DESC_F_INDIRECT)
		desc = table = (struct vring_desc *)(uintptr_t)desc->addr;
	answer = ANSWER(*(uint64_t *)(uintptr_t)desc->addr);
	while (desc->flags & VRING_DESC_F_NEXT) {
		desc = &table[desc->next];
		if (!(desc->flags & VRING_DESC_F_WRITE))
			fail("device", "a descriptor is not for it to write");
		*(uint64_t *)(uintptr_t)desc->addr = answer;
	}
}

static bool has_available(void)
{
	return __atomic_load_n(&shared.vq.avail->idx, __ATOMIC_SEQ_CST) !=
	       device.avail_next;
}

/* Serves up to `most` chains, the later half of them first. */
static unsigned int serve_some(uint64_t most)
{
	uint16_t idx = __atomic_load_n(&shared.vq.avail->idx, __ATOMIC_ACQUIRE);
	uint16_t count = (uint16_t)(idx - device.avail_next);

	count = count < most ? count : (uint16_t)most;
	for (uint16_t i = 0; i < count; i++) {
		uint16_t at = device.avail_next + (uint16_t)(i + count / 2) % count;
		uint16_t head = __atomic_load_n(
			&shared.vq.avail->ring[at % RING_SIZE], __ATOMIC_RELAXED);

		serve(head);
		__atomic_store_n(&shared.vq.used->ring[device.used_next % RING_SIZE].id,
				 head, __ATOMIC_RELAXED);
		device.used_next++;
	}
	device.avail_next += count;
	return count;
}

/* Barrier D: the index first, then whether a call is wanted. */
static void show_used(uint16_t old)
{
	bool wanted;

	__atomic_store_n(&shared.vq.used->idx, device.used_next, __ATOMIC_SEQ_CST);
	if (shared.vq.shape.event_idx)
		wanted = vring_need_event(
			__atomic_load_n(shared.vq.used_event, __ATOMIC_SEQ_CST),
			device.used_next, old);
	else
		wanted = !(__atomic_load_n(&shared.vq.avail->flags, __ATOMIC_SEQ_CST) &
			   VRING_AVAIL_F_NO_INTERRUPT);
	if (!wanted)
		return;
	device.calls++;
	notify(shared.call_fd);
}

/* Barrier C: asks for a kick first, then looks again. */
static void device_sleep(void)
{
	if (shared.vq.shape.event_idx)
		__atomic_store_n(shared.vq.avail_event, device.avail_next,
				 __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&shared.vq.used->flags, 0, __ATOMIC_SEQ_CST);
	if (!has_available()) {
		device.sleeps++;
		sleep_on(shared.kick_fd, "device", "no kick came");
	}
	if (!shared.vq.shape.event_idx)
		__atomic_store_n(&shared.vq.used->flags, VRING_USED_F_NO_NOTIFY,
				 __ATOMIC_RELAXED);
}

static void *run_device(void *unused)
{
	uint64_t patience = 1;

	while (device.completed < shared.requests) {
		uint16_t old = device.used_next;
		unsigned int count = serve_some(1 + draw(&device.random, RING_SIZE));

		device.completed += count;
		if (count)
			show_used(old);
		else if (--patience)
			continue;
		else
			device_sleep();
		patience = draw_patience(&device.random);
	}
	return unused;
}

/* ---- both -------------------------------------------------------------------- */

static bool has_argument(char **arguments, const char *name)
{
	while (*arguments)
		if (!strcmp(*arguments++, name))
			return true;
	return false;
}

static void set_up(char **arguments)
{
	struct virtq_shape shape = {
		.size = RING_SIZE,
		.chain_length = CHAIN_LENGTH,
		.request_bytes = CELL,
		.response_bytes = CELL,
		.indirect = has_argument(arguments, "indirect"),
		.event_idx = has_argument(arguments, "event_idx"),
	};
	size_t bytes;

	shape.num_chains = virtq_max_chains(RING_SIZE, CHAIN_LENGTH, shape.indirect);
	bytes = virtq_bytes(&shape);
	if (virtq_init(&shared.vq, &shape, memset(aligned_alloc(4096, bytes), 0, bytes)))
		fail("driver", "cannot make the ring");
	for (uint16_t chain = 0; chain < shape.num_chains; chain++)
		driver.free_chains[driver.num_free++] = chain;
	shared.kick_fd = eventfd(0, 0);
	shared.call_fd = eventfd(0, 0);
	driver.random = shared.seed * 2 + 1;
	device.random = shared.seed * 2 + 3;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];

	if (argc < 3)
		return 2;
	shared.requests = strtoull(argv[1], NULL, 10);
	shared.seed = strtoull(argv[2], NULL, 10);
	set_up(argv + 3);
	pthread_create(&threads[0], NULL, run_driver, NULL);
	pthread_create(&threads[1], NULL, run_device, NULL);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	if (virtq_check(&shared.vq) || shared.vq.in_flight)
		fail("driver", "its counts do not hold");
	printf("%llu requests, %llu kicks, %llu calls, device slept %llu, driver slept %llu\n",
	       (unsigned long long)driver.reaped, (unsigned long long)driver.kicks,
	       (unsigned long long)device.calls, (unsigned long long)device.sleeps,
	       (unsigned long long)driver.sleeps);
	return 0;
}
