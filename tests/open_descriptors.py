# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the descriptors of the process that runs the tests."""

import gc
from pathlib import Path


def descriptors() -> int:
    """How many descriptors this process has open.

    What earlier tests left to the garbage collector is closed first. Otherwise it would be closed
    between two counts, at a moment that nobody chose.
    """
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
