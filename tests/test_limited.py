# SPDX-License-Identifier: GPL-2.0-or-later
"""A command that does not end takes nothing of ours with it into its hang."""

import time
from pathlib import Path

from tests.limited import run_limited

# The parent ends up waiting for a child that has left the process group, as fio does.
_HANG = "setsid sleep 1000 & echo $!; wait"


def test_a_command_that_ends_is_not_limited() -> None:
    assert run_limited(["echo", "x"], {}, 60, None) == (True, 0, "x\n", "")


def test_at_the_limit_all_descendants_end() -> None:
    ended, _, stdout, _ = run_limited(["sh", "-c", _HANG], {}, 1, None)
    assert not ended
    assert _ends(Path("/proc") / stdout.strip())


def _ends(process: Path) -> bool:
    for _ in range(1000):
        try:
            if (process / "stat").read_text().split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False
