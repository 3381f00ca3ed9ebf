/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structures that can grow, between a program and a library of different releases.
 * Each begins with its size in the program; library/pyfio_virtio.h states the rule.
 * Any thread; nothing is kept.
 */
#ifndef SIZED_H
#define SIZED_H

#include <stddef.h>

/* Checks the size of a structure that a program filled in, and that the bytes that
 * this library does not know are 0. `known` is the structure's size in this library,
 * `least` the smallest that is accepted. */
int sized_check(const void *theirs, size_t least, size_t known, const char *name);
/* Copies a structure of a program to `ours`, where the members that the program does
 * not know become 0. If theirs is NULL, all do. */
int sized_take(void *ours, const void *theirs, size_t known, const char *name);
/* Copies ours to a structure of a program, as far as it goes. What this library does
 * not know becomes 0. The program's struct_size stays as it is. */
int sized_give(void *theirs, const void *ours, size_t known, const char *name);

#endif
