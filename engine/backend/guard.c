/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handler of SIGBUS. Entered by any thread in the middle of any access to
 * memory, so it makes system calls and nothing else.
 */
#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static long page_bytes;

/* Puts an empty page in the place of the one that is gone; the client alone
 * sees the difference. Where that fails (huge pages), the signal strikes. */
static void replace_page(int number, siginfo_t *info, void *context)
{
	uintptr_t page = (uintptr_t)info->si_addr & ~(page_bytes - 1);
	int saved_errno = errno;

	(void)context;
	if (info->si_code != BUS_ADRERR ||
	    mmap((void *)page, page_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		signal(number, SIG_DFL);
	errno = saved_errno;
}

void guard_start(void)
{
	struct sigaction action = { .sa_sigaction = replace_page,
				    .sa_flags = SA_SIGINFO };

	page_bytes = sysconf(_SC_PAGESIZE);
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}
