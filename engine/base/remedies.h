/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a user can do about a failure, in the words of the program that the engine works
 * for: fio has options, and the library has arguments with other names. fio's glue sets
 * them before anything else runs; then they are constant.
 */
#ifndef REMEDIES_H
#define REMEDIES_H

struct remedies {
	const char *all_memory;    /* share all that is needed at once */
	const char *less_memory;   /* need less of it */
	const char *smaller_queue; /* have fewer entries in each queue */
	const char *as_root;       /* run the same command as root */
};

extern struct remedies remedies;

#endif
