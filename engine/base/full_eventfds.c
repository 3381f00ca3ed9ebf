/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that empties full eventfds; see base/full_eventfds.h. */
#include "base/full_eventfds.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/eventfd.h"

#define LOOK_INTERVAL_NS (200 * NS_PER_MS)

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct pollfd *watched;
	unsigned int count, room;
	pthread_t thread;     /* runs while count > 0 */
	uintptr_t generation; /* a thread ends when this is no longer its own */
} all;

/* A counter without O_NONBLOCK that is full makes a write wait. With O_NONBLOCK, a full
 * counter is a kick that is pending. */
static void empty_full_ones(void)
{
	if (poll(all.watched, all.count, 0) == (int)all.count)
		return;
	for (unsigned int i = 0; i < all.count; i++) {
		int fd = all.watched[i].fd;

		if (!all.watched[i].revents && !(fcntl(fd, F_GETFL) & O_NONBLOCK))
			eventfd_take(fd);
	}
}

static void *run(void *generation)
{
	pthread_mutex_lock(&all.lock);
	while (all.generation == (uintptr_t)generation) {
		uint64_t next_ns = clock_now_ns() + LOOK_INTERVAL_NS;
		struct timespec next = { .tv_sec = (time_t)(next_ns / NS_PER_S),
					 .tv_nsec = (long)(next_ns % NS_PER_S) };

		pthread_cond_timedwait(&all.changed, &all.lock, &next);
		if (all.generation == (uintptr_t)generation)
			empty_full_ones();
	}
	pthread_mutex_unlock(&all.lock);
	return NULL;
}

/* Signals are for the program's own threads. */
static bool start_thread(void)
{
	sigset_t every, before;
	bool has_started;

	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	has_started = !pthread_create(&all.thread, NULL, run, (void *)all.generation);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return has_started;
}

static void begin(void)
{
	pthread_condattr_t monotonic;

	memset(&all, 0, sizeof(all));
	pthread_mutex_init(&all.lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&all.changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

/* A forked process has no such thread, and its copy of the lock may be locked. */
static void begin_all_processes(void)
{
	begin();
	pthread_atfork(NULL, NULL, begin);
}

static bool make_room(void)
{
	unsigned int room = all.room ? 2 * all.room : 16;
	struct pollfd *watched;

	if (all.count < all.room)
		return true;
	watched = realloc(all.watched, room * sizeof(*watched));
	if (!watched)
		return false;
	all.watched = watched;
	all.room = room;
	return true;
}

void full_eventfds_watch(int fd)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, begin_all_processes);
	pthread_mutex_lock(&all.lock);
	if (make_room() && (all.count || start_thread()))
		all.watched[all.count++] = (struct pollfd){ .fd = fd, .events = POLLOUT };
	pthread_mutex_unlock(&all.lock);
}

/* Returns true if fd was the last one. */
static bool remove_fd(int fd)
{
	for (unsigned int i = 0; i < all.count; i++)
		if (all.watched[i].fd == fd) {
			all.watched[i] = all.watched[--all.count];
			return !all.count;
		}
	return false;
}

void full_eventfds_forget(int fd)
{
	pthread_t thread;
	bool is_last;

	pthread_mutex_lock(&all.lock);
	is_last = remove_fd(fd);
	if (is_last) {
		thread = all.thread;
		all.generation++;
		free(all.watched);
		all.watched = NULL;
		all.room = 0;
		pthread_cond_broadcast(&all.changed);
	}
	pthread_mutex_unlock(&all.lock);
	if (is_last)
		pthread_join(thread, NULL);
}
