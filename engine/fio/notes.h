/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the many jobs of a run of fio, which may be threads or processes, do once: say a
 * thing, and empty a file.
 */
#ifndef FIO_NOTES_H
#define FIO_NOTES_H

#include <stdbool.h>
#include <sys/types.h>

enum note {
	NOTE_PAGES,         /* ordinary pages for want of huge pages */
	NOTE_TRIM,          /* trims are sent as WRITE_ZEROES */
	NOTE_END,           /* the job reaches beyond its device */
	NOTE_FIRST_OPTION,  /* and those that follow: see fio/promises.c */
	NOTES = NOTE_FIRST_OPTION + 64,
};

/* In fio's main process, before it forks for its jobs. */
void fio_notes_begin(void);
/* True for the first caller of all jobs. */
bool fio_is_first_to_say(unsigned int note);
/* True for the first caller of all jobs with this file. */
bool fio_is_first_to_open(dev_t device, ino_t inode);

#endif
