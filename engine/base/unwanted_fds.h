/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closes file descriptors that a back-end sent and nobody asked for.
 *
 * A close can wait for as long as somebody likes: for the server of a FUSE file, or for
 * the peer of a socket that lingers. So a thread of its own closes them.
 */
#ifndef UNWANTED_FDS_H
#define UNWANTED_FDS_H

/* The kernel's limit of file descriptors in a message (SCM_MAX_FD). Those for which a
 * receiver has no room are closed by the kernel, in the receiving thread. */
#define UNWANTED_FDS_MAX 253

/* count: UNWANTED_FDS_MAX at most. Does not wait. Any thread. */
void unwanted_fds_close(const int *fds, unsigned int count);

#endif
