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

/* Since interface 36 (3.38), errdetails has a thread_data argument. */
#if FIO_IOOPS_VERSION >= 36
#define ERRDETAILS_ARGUMENTS struct thread_data *td, struct io_u *io_u
#define ERRDETAILS_UNUSED (void)td
#else
#define ERRDETAILS_ARGUMENTS struct io_u *io_u
#define ERRDETAILS_UNUSED (void)0
#endif

#endif
