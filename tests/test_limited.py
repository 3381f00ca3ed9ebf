# SPDX-License-Identifier: GPL-2.0-or-later
"""A command that does not end takes nothing of ours with it into its hang."""

from pyfio_virtio.machine.process import start_ticks
from tests.limited import run_limited
from tests.waiting import wait_until

# The parent ends up waiting for a child that has left the process group, as fio does.
_HANG = "setsid sleep 1000 & echo $!; wait"


def test_a_command_that_ends_is_not_limited() -> None:
    assert run_limited(["echo", "x"], {}, 60, None) == (True, 0, "x\n", "")


def test_at_the_limit_all_descendants_end() -> None:
    ended, _, stdout, _ = run_limited(["sh", "-c", _HANG], {}, 1, None)
    assert not ended
    wait_until(lambda: start_ticks(int(stdout)) is None, "the end of the descendant")
