# SPDX-License-Identifier: GPL-2.0-or-later
"""Waits for what comes some time after its cause: a signal, a fork, a process that will listen.

kill(2) returns before the other process has stopped or ended. A test that looks at once is right on
an idle machine and wrong on a busy one.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

# Ample for all that is waited for; it only bounds a hang.
PATIENCE_S = 30.0


def wait_until(
    is_so: Callable[[], bool], awaited: str = "it", patience_s: float = PATIENCE_S
) -> None:
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline, f"{awaited} did not come within {patience_s} s"
        time.sleep(0.002)


def stop(pid: int) -> None:
    """Stops a process with SIGSTOP. Returns when none of its threads runs any more."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _states(pid) <= set("TZX"), f"the stop of process {pid}")


def go_on(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def kill(pid: int) -> None:
    """Kills a process. Returns when none of its threads is left, and so its sockets are closed."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _states(pid) <= set("ZX"), f"the end of process {pid}")


def _states(pid: int) -> set[str]:
    """The letters of proc(5) for the states of its threads; none if there is no such process."""
    try:
        return {_state(task) for task in Path(f"/proc/{pid}/task").iterdir()}
    except FileNotFoundError:
        return set()


def _state(task: Path) -> str:
    """X, which is dead, if the thread has ended."""
    try:
        return (task / "stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"
