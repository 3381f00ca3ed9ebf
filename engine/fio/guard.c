/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard of get_ioengine() refuses, with a sentence, a fio of another release or
 * with another layout of its structures; see fio/guard.h.
 *
 * It runs in fio's main thread while fio reads its job file, before any hook.
 */
#include "fio/guard.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "api.h"
#include "fio/compat.h"

/* A comparison takes milliseconds, so this is more than enough. */
#define CHILD_LIMIT_S 20
#define NOTE_BYTES 256
#define REMEDY "rebuild the engine with pyfio-virtio build-engine, or with make in a " \
	"checkout, and set FIO_SOURCE_DIR to the sources of that fio, with their " \
	"patches, if it is not your distribution's package"

const char *engine_fio_release(void)
{
	return ENGINE_FIO_RELEASE;
}

int engine_fio_interface(void)
{
	return FIO_INTERFACE;
}

/* Shared with the child. Empty once all has been compared and agrees. */
static char *note;

void fio_guard_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(note, NOTE_BYTES, format, args);
	va_end(args);
}

void fio_guard_expect(bool agrees)
{
	if (!agrees)
		_exit(1);
}

/* With wrong structures, fio may use file descriptor 0, print messages, crash or hang.
 * None of this may have an effect outside, so there is no core file, and an alarm. */
static void contain(void)
{
	static const int fatal[] = { SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL,
				     SIGSEGV, SIGTRAP };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
		signal(fatal[i], SIG_DFL);
	prctl(PR_SET_DUMPABLE, 0);
	alarm(CHILD_LIMIT_S);
}

static void compare_all(void)
{
	contain();
	fio_compare_options();
	fio_rehearse();
	fio_guard_note("%s", "");
	_exit(0);
}

/* Only the note says how the comparison went, because waitpid() has no status if fio
 * was started with SIGCHLD ignored. 0, or an errno. */
static int compare_in_child(void)
{
	pid_t child;

	note = mmap(NULL, NOTE_BYTES, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (note == MAP_FAILED)
		return errno;
	fio_guard_note("the comparison did not begin");
	child = fork();
	if (child < 0)
		return errno;
	if (!child)
		compare_all();
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

static bool has_same_structures(void)
{
	int code = compare_in_child();

	if (code)
		log_err("fio_virtio: fio's structures cannot be compared with the "
			"engine's in a process of their own: %s\n", strerror(code));
	else if (*note)
		log_err("fio_virtio: this engine was built from %s, but the %s that "
			"loads it has other structures (first difference: %s); "
			REMEDY "\n", ENGINE_FIO_SOURCES, fio_version_string, note);
	return !code && !*note;
}

bool fio_guard_admits(void)
{
	static bool is_admitted; /* fio asks again for each job */

	if (!is_admitted && strcmp(fio_version_string, ENGINE_FIO_RELEASE))
		log_err("fio_virtio: this engine was built for %s and %s loads it; "
			REMEDY "\n", ENGINE_FIO_RELEASE, fio_version_string);
	else if (!is_admitted)
		is_admitted = has_same_structures();
	return is_admitted;
}
