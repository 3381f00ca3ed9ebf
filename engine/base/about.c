/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Constants that describe this build, set by build.py; see api.h. */
#include "api.h"

const char *engine_version(void)
{
	return ENGINE_VERSION;
}

unsigned int engine_default_sleepy_poll_us(void)
{
	return SLEEPY_POLL_DEFAULT;
}
