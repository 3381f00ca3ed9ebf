/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File descriptors that clients give: what they are, and how to get rid of
 * them.
 *
 * A client can give anything. Almost every system call waits on some kind of
 * file: for a FUSE server to answer, for a network, for a reader. So each fd is
 * looked at first, by calls that ask nobody else, and only what cannot make us
 * wait is used. Control thread.
 */
#ifndef BACKEND_GIVEN_FD_H
#define BACKEND_GIVEN_FD_H

#include <stdint.h>

/* Each 0, or -EINVAL and a sentence that begins with `what`. */

/* For kicks and calls. */
int given_fd_check_event(int fd, const char *what);
/* Shared memory: of a memfd, or of a file on tmpfs or hugetlbfs, whose pages
 * nobody else has to bring. */
int given_fd_check_memory(int fd, const char *what);
/* A Unix socket. */
int given_fd_check_socket(int fd, const char *what);

/* The page size of memory: mappings start and end on such boundaries. */
uint64_t given_fd_page_bytes(int fd);

/* Closes it without waiting, whatever it is. Nothing happens for -1. */
void given_fd_close(int fd);

#endif
