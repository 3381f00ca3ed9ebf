/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that implement library/pyfio_virtio.h share. Any thread. */
#ifndef PUBLIC_H
#define PUBLIC_H

#include "api.h"
#include "library/pyfio_virtio.h"

/* Converts what a program asks for; NULL means the defaults. config->socket still
 * belongs to the program. */
int public_config(struct device_config *config,
		  const struct pyfio_device_config *theirs);
/* Returns -EINVAL, with a sentence, if a program passed NULL for this object. */
int public_is_missing(const void *object, const char *name);

#endif
