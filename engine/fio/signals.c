/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts the signals that come while a run ends; see fio/signals.h. */
#include "fio/signals.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/clock.h"

/* A terminal sends ^C to all processes of fio. A process may learn from another one
 * that the run ends before it takes its own first signal, which must not count. */
#define SAME_SIGNAL_NS (200 * NS_PER_MS)

static const int numbers[] = { SIGINT, SIGTERM };

static unsigned int *count; /* shared by all processes; NULL if there is no memory */
static struct sigaction fios[sizeof(numbers) / sizeof(*numbers)];
static uint64_t begun_ns;
static bool is_counting;

void fio_signals_prepare(void)
{
	void *page;

	if (count)
		return;
	page = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page != MAP_FAILED)
		count = page;
}

unsigned int fio_signals_counted(void)
{
	return count ? __atomic_load_n(count, __ATOMIC_RELAXED) : 0;
}

static void handle(int number)
{
	if (clock_now_ns() - begun_ns >= SAME_SIGNAL_NS)
		__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
	fios[number != numbers[0]].sa_handler(number);
}

/* A signal that fio does not handle, because it was started with it ignored, stays
 * ignored. */
static void replace(unsigned int index)
{
	struct sigaction ours;

	if (sigaction(numbers[index], NULL, &fios[index]) ||
	    fios[index].sa_flags & SA_SIGINFO ||
	    fios[index].sa_handler == SIG_DFL || fios[index].sa_handler == SIG_IGN)
		return;
	ours = fios[index];
	ours.sa_handler = handle;
	sigaction(numbers[index], &ours, NULL);
}

void fio_signals_count(void)
{
	if (!count || __atomic_exchange_n(&is_counting, true, __ATOMIC_SEQ_CST))
		return;
	begun_ns = clock_now_ns();
	for (unsigned int i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		replace(i);
}
