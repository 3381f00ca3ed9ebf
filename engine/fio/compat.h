/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface to fio, of any release. This is the only file that includes fio's
 * headers and that knows how releases differ.
 *
 * fio's symbols are weak, so that Python can import the same shared object without
 * fio. Only fio's hooks call them.
 */
#ifndef FIO_COMPAT_H
#define FIO_COMPAT_H

#include "fio.h"
#include "optgroup.h"

#pragma weak fio_version_string
#pragma weak thread_number
#pragma weak segments
#pragma weak log_err
#pragma weak log_info
#pragma weak fio_gettime
#pragma weak fio_mark_td_terminate
#pragma weak io_u_queued
#pragma weak io_u_mark_submit
#pragma weak __fio_option_is_set
#pragma weak get_name_by_idx
#pragma weak segments
#pragma weak utime_since_now
/* Only fio/rehearsal.c calls the following. */
#pragma weak allocate_io_mem
#pragma weak fio_cmd_ioengine_option_parse
#pragma weak free_io_mem
#pragma weak generic_close_file
#pragma weak generic_get_file_size
#pragma weak generic_open_file
#pragma weak get_fileno
#pragma weak load_ioengine
#pragma weak lock_file
#pragma weak runstate_to_name
#pragma weak td_io_getevents
#pragma weak td_io_init
#pragma weak td_io_queue
#pragma weak td_set_runstate

/*
 * What differs between releases, for an engine. A row names the first release with the
 * number (FIO_IOOPS_VERSION). fio's server has a number, too (FIO_SERVER_VER), by which
 * fio's client and server know one another. We do not use it: pyfio-virtio asks each
 * host for its release.
 *
 * engine  server  release  what changed; what we do
 * 25      80      3.16     refused by engine/build.py
 * 30      94      3.28     the oldest that we build for. No FIO_ASYNCIO_SETS_ISSUE_TIME:
 *                          fio takes the time of issue itself, after commit. engine_data
 *                          and engine_pos of fio_file share memory; we use neither
 * 31      97      3.33     FIO_ASYNCIO_SETS_ISSUE_TIME (since 3.30); members of io_u and
 *                          fio_file moved. 3.30 and 3.31 differ, with the same number
 * 32              3.34     more hooks in ioengine_ops; nothing to do
 * 33      101     3.36     FIO_SKIPPABLE_IOMEM_ALLOC, which we do not set; io_u grew
 * 36              3.38     errdetails has a thread_data argument: ERRDETAILS_ARGUMENTS.
 *                          Trims of several ranges, for an engine that asks for them
 *                          (FIO_MULTI_RANGE_TRIM); we do not
 *         107     3.39     nothing to do
 * 37              3.40     nothing to do
 * 39      113     3.41     no `cancel` in ioengine_ops, which we do not set; zbd_queue_io
 *                          has other arguments: rehearsal.c gives them no meaning
 *
 * Members also move without a new number (3.41 and 3.42) and with patches of a
 * distribution (trixie's 3.39), so fio/guard.c compares the structures themselves.
 */
#define FIO_INTERFACE FIO_IOOPS_VERSION
/* engine/build.py reads these two lines. */
#define OLDEST_FIO_INTERFACE 30
#define OLDEST_FIO_RELEASE "3.28"

#if FIO_INTERFACE < OLDEST_FIO_INTERFACE
#error "this fio is older than OLDEST_FIO_RELEASE"
#endif

/* With 0, fio overwrites the time that the engine takes. */
#if FIO_INTERFACE < 31
#define FIO_ASYNCIO_SETS_ISSUE_TIME 0
#endif

#if FIO_INTERFACE >= 36
#define ERRDETAILS_ARGUMENTS struct thread_data *td, struct io_u *io_u
#define ERRDETAILS_UNUSED (void)td
#else
#define ERRDETAILS_ARGUMENTS struct io_u *io_u
#define ERRDETAILS_UNUSED (void)0
#endif

#endif
