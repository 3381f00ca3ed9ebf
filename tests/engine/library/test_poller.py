# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/library/poller.c: what happens to the turn when threads leave, or get no CPU."""

import subprocess
from pathlib import Path

import pytest

from tests.stress.test_ring_stress import ENGINE, compile_program

USED = [
    ENGINE / "library" / "brief_poll.c",
    *sorted((ENGINE / "wait").glob("*.c")),
    *sorted((ENGINE / "base").glob("*.c")),
]
DEFINES = ('-DENGINE_VERSION="test"', "-DSLEEPY_POLL_DEFAULT=0")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("poller") / "poller_turns"
    source = Path(__file__).with_name("poller_turns.c")
    assert compile_program(target, DEFINES, source, *USED) == ""
    return target


@pytest.mark.parametrize(
    "case",
    [
        "turn_for_a_thread_that_runs",
        "turn_for_a_sleeper",
        "poller_without_cpu",
        "brief_poll_without_cpu",
        "kick_before_a_look",
        "kick_by_another_thread",
    ],
)
def test_every_wait_ends(program: Path, case: str) -> None:
    done = subprocess.run([program, case], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
