/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks the file descriptors that clients send, and closes them.
 *
 * A client can send a descriptor of any file. On some kind of file almost every
 * system call waits: for a FUSE server, for a network or for a reader. So each
 * fd is checked first, by calls that ask no file system, and the back-end uses
 * only fds that cannot make it wait. The control thread calls this.
 */
#ifndef BACKEND_GIVEN_FD_H
#define BACKEND_GIVEN_FD_H

#include <stdint.h>
#include <sys/types.h>

/* Each returns 0, or -EINVAL with a sentence that begins with `what`. */

/* An eventfd, for kicks and calls. */
int given_fd_check_event(int fd, const char *what);
/* Shared memory: a memfd, or a file on tmpfs or hugetlbfs. The kernel provides
 * the pages of these without asking a server or a device. */
int given_fd_check_memory(int fd, const char *what);
/* A Unix socket. */
int given_fd_check_socket(int fd, const char *what);

/* The page size of memory; mappings start and end at its multiples. */
uint64_t given_fd_page_bytes(int fd);

/* The most fds in a message (SCM_MAX_FD). Those for which a receiver has no room
 * are closed by the kernel, and the receiver waits. */
#define GIVEN_FDS_MAX 253

/* recv(2) that does not wait, of a socket whose client should send no fds. Those
 * that come are closed. */
ssize_t given_fd_receive(int fd, void *buffer, size_t bytes);

/* Closes any fd without waiting. An fd of -1 is ignored. */
void given_fd_close(int fd);
/* Closes our end of a connection, and what the client sent and nobody has
 * received, without waiting. */
void given_fd_hang_up(int fd);

#endif
