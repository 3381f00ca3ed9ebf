/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds every state of the shared memory in which a back-end can be killed, and checks
 * that the next back-end takes exactly what is in flight, in its order.
 *
 * A child serves a ring. Its parent executes it instruction by instruction (ptrace) and
 * keeps a copy of the memory after each instruction that changed it. Each copy is what a
 * SIGKILL at that instruction leaves behind. Then a ring is started on each copy: once
 * in this process, which looks at what it takes, and once in another child, which is
 * executed in the same way, because the next back-end can be killed, too.
 *
 * Exit status: 0, or 1 after a line about the first wrong state, or 77 without ptrace.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/ring.h"

enum { SIZE = 8, LOG_MAX = 64, STATES_MAX = 4096 };

/* All that outlives the back-end. The lists are for the check alone: the heads in the
 * order in which they were offered and put, from the beginning. */
struct outside {
	struct vring_desc descriptors[SIZE];
	uint16_t avail[3 + SIZE];
	uint16_t padding[5];
	struct {
		uint16_t flags, index;
		struct vring_used_elem ring[SIZE];
		uint16_t event;
	} used;
	uint16_t offered[LOG_MAX], put[LOG_MAX];
	uint16_t put_count;
	char data[64];
};

struct state {
	struct outside outside;
	uint8_t record[sizeof(struct inflight_queue) +
		       SIZE * sizeof(struct inflight_entry)];
};

/* A place where states can be put, and where a ring runs. */
struct place {
	struct outside *outside;
	struct memory memory;
	struct inflight inflight;
	struct ring ring;
};

static struct state states[STATES_MAX];
static unsigned int state_count;

static void fail(const char *what, const struct state *state)
{
	printf("%s: state %ld: avail %u, used %u, record's used %u\n", what,
	       (long)(state - states), state->outside.avail[1], state->outside.used.index,
	       ((const struct inflight_queue *)state->record)->used_index);
	exit(1);
}

static void open_place(struct place *place)
{
	struct vhost_user_region region = { .guest_address = 1 << 20, .size = 4096,
					    .user_address = 1 << 20 };
	int fd = memfd_create("ring", 0);

	if (ftruncate(fd, region.size) || memory_add(&place->memory, &region, fd) ||
	    inflight_create(&place->inflight, 1, SIZE) < 0)
		exit(2);
	place->outside = (struct outside *)place->memory.regions[0].host;
}

static void save(const struct place *place, struct state *state)
{
	state->outside = *place->outside;
	memcpy(state->record, place->inflight.mapping, sizeof(state->record));
}

static void restore(struct place *place, const struct state *state)
{
	*place->outside = state->outside;
	memcpy(place->inflight.mapping, state->record, sizeof(state->record));
}

static bool has_changed(const struct place *place, const struct state *state)
{
	return memcmp(place->outside, &state->outside, sizeof(state->outside)) ||
	       memcmp(place->inflight.mapping, state->record, sizeof(state->record));
}

/* ---- the driver and the back-end -------------------------------------------------- */

static void offer(struct outside *outside, uint16_t head)
{
	uint16_t index = outside->avail[1];

	outside->descriptors[head] = (struct vring_desc){
		.addr = (1 << 20) + offsetof(struct outside, data), .len = 16 };
	outside->offered[index] = head;
	outside->avail[2 + index % SIZE] = head;
	shared_write_release(&outside->avail[1], index + 1);
}

static void start(struct place *place)
{
	struct outside *outside = place->outside;
	struct ring *ring = &place->ring;

	/* What a killed back-end put and did not publish counts for nothing. */
	outside->put_count = outside->used.index;
	ring_init(ring, 0);
	ring->size = SIZE;
	ring->descriptor_user = 1 << 20;
	ring->avail_user = (1 << 20) + offsetof(struct outside, avail);
	ring->used_user = (1 << 20) + offsetof(struct outside, used);
	if (ring_start(ring, &place->memory,
		       inflight_of_queue(&place->inflight, 0, SIZE)))
		exit(2);
}

static void put(struct place *place, uint16_t head)
{
	struct outside *outside = place->outside;

	outside->put[outside->put_count] = head;
	shared_write_release(&outside->put_count, outside->put_count + 1);
	ring_put(&place->ring, head, 0);
}

static void take(struct place *place, unsigned int count)
{
	uint16_t heads[SIZE];

	if (ring_take(&place->ring, heads, count) != (int)count)
		exit(2);
}

/* Out of order, several at once and one alone, some put back; and the driver offers heads
 * again as soon as they have come back. */
static void serve(struct place *place)
{
	struct ring *ring = &place->ring;

	start(place);
	take(place, 5);
	ring_untake(ring, 1);
	put(place, 5);
	put(place, 3);
	ring_publish(ring);
	offer(place->outside, 5);
	take(place, 3);
	put(place, 0);
	ring_publish(ring);
	offer(place->outside, 3);
	offer(place->outside, 0);
	put(place, 7);
	put(place, 5);
	put(place, 2);
	ring_publish(ring);
	take(place, 2);
	put(place, 0);
	put(place, 1);
	put(place, 3);
	ring_publish(ring);
}

/* What is in flight, in its order: all that was offered without what the driver sees as
 * used. */
static unsigned int find_outstanding(const struct outside *outside, uint16_t *heads)
{
	unsigned int offered = outside->avail[1], used = outside->used.index, count = 0, i;
	bool is_used[LOG_MAX] = { false };

	while (used--) {
		for (i = 0; is_used[i] || outside->offered[i] != outside->put[used]; i++)
			;
		is_used[i] = true;
	}
	for (i = 0; i < offered; i++)
		if (!is_used[i])
			heads[count++] = outside->offered[i];
	return count;
}

/* True if the driver can offer the head that came back last. */
static bool is_back(const struct outside *outside)
{
	uint16_t heads[LOG_MAX];
	unsigned int count = find_outstanding(outside, heads);

	while (count && outside->used.index)
		if (heads[--count] == outside->put[outside->used.index - 1])
			return false;
	return outside->used.index;
}

/* Meanwhile the driver has offered again what came back last. The next back-end takes all
 * that is left, and then gives it back. */
static void serve_rest(struct place *place)
{
	struct outside *outside = place->outside;
	uint16_t heads[LOG_MAX];
	int count = 0, more, i;

	if (is_back(outside))
		offer(outside, outside->put[outside->used.index - 1]);
	start(place);
	while ((more = ring_take(&place->ring, heads + count, 2)) > 0)
		count += more;
	for (i = 0; i < count; i++) {
		put(place, heads[i]);
		if (i & 1)
			ring_publish(&place->ring);
	}
	ring_publish(&place->ring);
	ring_stop(&place->ring);
}

/* ---- killing ------------------------------------------------------------------------ */

static void add_state(const struct place *place)
{
	if (state_count == STATES_MAX)
		exit(2);
	save(place, &states[state_count++]);
}

/* Executes run(place) in a child, and adds a state after each change. */
static void step(struct place *place, void (*run)(struct place *place))
{
	int status;
	pid_t child;

	add_state(place);
	child = fork();
	if (!child) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(77);
		raise(SIGSTOP);
		run(place);
		_exit(0);
	}
	for (;;) {
		if (waitpid(child, &status, 0) != child || WIFSIGNALED(status))
			exit(2);
		if (WIFEXITED(status) && WEXITSTATUS(status))
			exit(WEXITSTATUS(status));
		if (has_changed(place, &states[state_count - 1]))
			add_state(place);
		if (WIFEXITED(status))
			return;
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL))
			exit(77);
	}
}

/* ---- the check ---------------------------------------------------------------------- */

static void check(struct place *place, const struct state *state)
{
	uint16_t expected[LOG_MAX], taken[LOG_MAX];
	unsigned int count = find_outstanding(&state->outside, expected), got = 0;
	int more;

	restore(place, state);
	start(place);
	while (got < LOG_MAX - SIZE &&
	       (more = ring_take(&place->ring, taken + got, SIZE)) > 0)
		got += more;
	if (got != count || memcmp(taken, expected, count * sizeof(*taken)))
		fail("what is in flight is not taken in its order", state);
	ring_stop(&place->ring);
}

int main(void)
{
	static const uint16_t first[] = { 3, 0, 5, 1, 7, 2 };
	struct place stepped = { 0 }, checked = { 0 };
	unsigned int i, count;

	open_place(&stepped);
	open_place(&checked);
	for (i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		offer(stepped.outside, first[i]);
	/* Now the children inherit symbols that are resolved, which saves steps. */
	start(&checked);
	ring_stop(&checked.ring);
	step(&stepped, serve);
	count = state_count;
	for (i = 0; i < count; i += 12) {
		restore(&stepped, &states[i]);
		step(&stepped, serve_rest);
	}
	for (i = 0; i < state_count; i++)
		check(&checked, &states[i]);
	printf("%u states, %u of them from the first back-end\n", state_count, count);
	return 0;
}
