/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What run.py chooses for each search, so that a model is compiled once: a configuration, and the
 * rule that is broken (0: none).
 */
byte configuration, broken;

#define IS(rule) (broken != (rule)) /* true unless this rule is broken */

inline read_switches()
{
	c_code {
		now.configuration = atoi(getenv("CONFIGURATION"));
		now.broken = atoi(getenv("BROKEN"));
	}
}
