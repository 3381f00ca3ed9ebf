# SPDX-License-Identifier: GPL-2.0-or-later
"""How this program starts a Python of its own, which must find the same libraries.

The new Python ignores all that ours ignores. An installed command ignores the user's PYTHONPATH,
for example, so the Pythons that it starts do so too.
"""

import sys


def command() -> list[str]:
    """An interpreter for modules (-m). It ignores those in the current folder."""
    if sys.flags.isolated:
        return [sys.executable, "-I"]
    return [sys.executable, "-sP" if sys.flags.no_user_site else "-P"]


def command_for_file() -> list[str]:
    """An interpreter for a file that imports those beside it. It leaves no bytecode there."""
    if sys.flags.isolated:
        return [sys.executable, "-EsB"]
    return [sys.executable, "-sB" if sys.flags.no_user_site else "-B"]
