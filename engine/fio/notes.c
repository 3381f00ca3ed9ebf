/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the jobs of a run have done; see fio/notes.h. Any thread and process may ask. */
#include "fio/notes.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define FILES 1024

struct done {
	bool said[NOTES];
	uint64_t files[FILES]; /* 0: free */
};

static struct done own;
static struct done *done = &own;

/* Memory that the processes of fio's jobs share. Without it, each of them counts as a run
 * of its own. */
void fio_notes_begin(void)
{
	void *shared;

	if (done != &own)
		return;
	shared = mmap(NULL, sizeof(own), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared != MAP_FAILED)
		done = shared;
}

bool fio_is_first_to_say(unsigned int note)
{
	return note < NOTES &&
	       !__atomic_exchange_n(&done->said[note], true, __ATOMIC_RELAXED);
}

/* Files are told apart by a hash. If two had the same one, or if there were more of them
 * than FILES, the later file would not be emptied. */
bool fio_is_first_to_open(dev_t device, ino_t inode)
{
	uint64_t file = ((uint64_t)device << 40 ^ (uint64_t)inode) | 1ull << 63;

	for (unsigned int i = 0; i < FILES; i++) {
		uint64_t found = 0;

		if (__atomic_compare_exchange_n(&done->files[i], &found, file, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
		if (found == file)
			return false;
	}
	return false;
}
