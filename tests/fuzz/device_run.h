/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a device of the front-end, with a peer that lies about messages or about
 * requests: open, start, ask, read and write, close.
 */
#ifndef FUZZ_DEVICE_RUN_H
#define FUZZ_DEVICE_RUN_H

#include "input.h"

enum { LIES_IN_MESSAGES = 1, LIES_IN_ANSWERS = 2 };

void device_run(struct input *input, unsigned int lies);

#endif
