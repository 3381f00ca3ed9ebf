/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of a memory's regions the back-end knows: told one by one where it
 * takes that, else all at once before its rings run. The caller holds dev->lock
 * or owns the device's control path.
 */
#ifndef SHARE_H
#define SHARE_H

struct device;

/* Before rings run: all regions. 0, or a negative errno with a sentence. */
int share_memory(struct device *dev);
/* While they run: the regions that the back-end does not know yet. */
int share_more(struct device *dev);
/* 0 if the back-end can take one more region while it runs, or -ENOSPC with a
 * sentence. */
int share_check_growth(const struct device *dev);

#endif
