# SPDX-License-Identifier: GPL-2.0-or-later
"""A short run of disk_stress.py; `make stress` runs it for a minute."""

import os
import random

from tests.stress.disk_stress import NUM_THREADS, stress

SECONDS = 8.0


def test_no_byte_changes_that_nobody_asked_to_change_and_nothing_hangs() -> None:
    """In this process, so that the sanitizers see it. A failure tells the seed."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    counts = stress(SECONDS, seed)
    assert counts["ok"] > NUM_THREADS, counts
