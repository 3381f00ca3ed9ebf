# SPDX-License-Identifier: GPL-2.0-or-later
"""How this program starts a Python of its own, which must find the same libraries."""

import sys


def command() -> list[str]:
    """The interpreter. It ignores modules in the current folder, and all that ours ignores."""
    if sys.flags.isolated:
        return [sys.executable, "-I"]
    return [sys.executable, "-sP" if sys.flags.no_user_site else "-P"]
