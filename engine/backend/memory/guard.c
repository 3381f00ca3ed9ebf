/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handler of SIGBUS, and the list of clients' memory that it reads.
 *
 * The handler may interrupt any thread at any access to memory, so it takes no
 * lock and does not allocate. Only the control thread changes the list, and
 * only while the workers are parked, so the handler reads it without a lock.
 */
#include "memory/guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

struct watched {
	uint8_t *start;
	size_t bytes;
	bool was_cut; /* atomic */
};

static struct {
	bool is_active;
	int alarm_fd;
	const uint8_t *storage;
	size_t storage_bytes;
	struct watched *list;
	unsigned int count, room;
} guard;

__thread jmp_buf *guard_attempt;

/* ---- the handler -------------------------------------------------------- */

static bool is_within(const uint8_t *address, const uint8_t *start,
		      size_t bytes)
{
	return address >= start && (size_t)(address - start) < bytes;
}

static struct watched *find_watched(const uint8_t *address)
{
	unsigned int i;

	for (i = 0; i < guard.count; i++)
		if (is_within(address, guard.list[i].start,
			      guard.list[i].bytes))
			return &guard.list[i];
	return NULL;
}

/* Replaces the whole mapping. If single pages were replaced, a client could use
 * up the mappings that a process may have; and a huge page cannot be replaced
 * in parts. */
static bool replace(struct watched *memory)
{
	const uint64_t one = 1;

	if (mmap(memory->start, memory->bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return false;
	shared_write(&memory->was_cut, true);
	/* This eventfd is our own: it does not block and is never full. */
	if (write(guard.alarm_fd, &one, sizeof(one)) < 0)
		errno = 0;
	return true;
}

static void end_process(int number, bool was_sent)
{
	static const char line[] =
		"the back-end ends: SIGBUS outside of clients' memory and "
		"storage\n";

	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };

	/* Stderr may be a pipe that nobody reads, so do not wait for it. */
	if (poll(&room, 1, 0) == 1 &&
	    write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		errno = 0;
	signal(number, SIG_DFL);
	/* The access is repeated, and faults again, when the handler returns. A
	 * signal that a process sent has to be raised again. */
	if (was_sent)
		raise(number);
}

/* guard_attempt is read only after the address was found in storage, because
 * only threads that set guard_attempt access storage. In another thread, the
 * first use of a thread-local variable may allocate memory. */
static void give_up_attempt(const uint8_t *address)
{
	jmp_buf *attempt;

	if (!is_within(address, guard.storage, guard.storage_bytes))
		return;
	attempt = guard_attempt;
	guard_attempt = NULL;
	if (attempt)
		_longjmp(*attempt, 1);
}

static void take_signal(int number, siginfo_t *info, void *context)
{
	bool was_sent = info->si_code <= 0;
	int saved_errno = errno;
	struct watched *memory;

	(void)context;
	if (was_sent) {
		end_process(number, true);
		return;
	}
	memory = find_watched(info->si_addr);
	if (!memory || !replace(memory)) {
		give_up_attempt(info->si_addr);
		end_process(number, false);
	}
	errno = saved_errno;
}

void guard_start(int alarm_fd)
{
	/* With SA_NODEFER SIGBUS is not blocked in the handler, so a jump out
	 * of the handler leaves no blocked signal behind. */
	struct sigaction action = { .sa_sigaction = take_signal,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };

	guard.alarm_fd = alarm_fd;
	guard.is_active = true;
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}

void guard_storage(const void *start, size_t bytes)
{
	guard.storage = start;
	guard.storage_bytes = bytes;
}

/* ---- clients' memory ---------------------------------------------------- */

int guard_watch(void *start, size_t bytes)
{
	if (!guard.is_active)
		return 0;
	if (guard.count == guard.room) {
		unsigned int room = guard.room ? 2 * guard.room : 16;
		struct watched *grown =
			realloc(guard.list, room * sizeof(*grown));

		if (!grown)
			return error_record(-ENOMEM,
					    "no memory to watch a region");
		guard.list = grown;
		guard.room = room;
	}
	guard.list[guard.count++] =
		(struct watched){ .start = start, .bytes = bytes };
	return 0;
}

void guard_forget(const void *start)
{
	struct watched *memory = find_watched(start);

	if (memory)
		*memory = guard.list[--guard.count];
}

bool guard_was_cut(const void *start)
{
	const struct watched *memory = find_watched(start);

	return memory && shared_read(&memory->was_cut);
}
