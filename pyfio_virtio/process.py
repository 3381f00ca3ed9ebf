# SPDX-License-Identifier: GPL-2.0-or-later
"""How child processes are started, told apart and ended.

Owns the identity of a process (its number and its start time, since numbers are reused) and the
parent-death signal that keeps a kill -9 from leaving orphans. Any thread may call; the kernel
sends that signal when the *thread* that started a child ends, so start children from a thread
that outlives them. Never prints, and never looks for processes by name.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)  # loaded before any fork: nothing is looked up in the child


def start_ticks(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None when there is none alive."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name, in brackets, may hold spaces: fields are counted from the last bracket (proc(5)).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    start_ticks: int
    child: "subprocess.Popen[bytes] | None" = field(default=None, repr=False, compare=False)

    def is_running(self) -> bool:
        if self.child is not None:
            return self.child.poll() is None  # which also takes its exit status off the system
        return start_ticks(self.pid) == self.start_ticks

    def wait(self, timeout_s: float) -> bool:
        """Waits for the end; True when it came in time."""
        deadline = time.monotonic() + timeout_s
        while self.is_running():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def end(self, grace_s: float = 2.0) -> None:
        """Asks the process to end, and kills it after `grace_s` seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.is_running():
                with suppress(ProcessLookupError):
                    os.kill(self.pid, number)
                self.wait(grace_s)


def finish(process: Process) -> tuple[int, bytes]:
    """Waits for a child of ours; its return code, and what it wrote to a captured stdout."""
    if process.child is None:
        raise ValueError(f"process {process.pid} is no child of ours")
    output, _ = process.child.communicate()
    return process.child.returncode, output or b""


def output_of(process: Process) -> int:
    """The descriptor from which a child's captured stdout is read."""
    if process.child is None or process.child.stdout is None:
        raise ValueError(f"the output of process {process.pid} is not captured")
    return process.child.stdout.fileno()


def this_process() -> Process:
    pid = os.getpid()
    return Process(pid, start_ticks(pid) or 0)


def _die_with_parent(number: int) -> Callable[[], None]:
    parent = os.getpid()

    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it ended before prctl took effect
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child


def start(
    command: Sequence[str],
    *,
    death_signal: int | None,
    output: IO[bytes] | int | None = None,
    errors: IO[bytes] | int | None = None,
    environment: Mapping[str, str] | None = None,
    keep_fds: Sequence[int] = (),
    session: bool = False,
    folder: Path | None = None,
) -> Process:
    """Starts `command` in a process group (or session) of its own, in `folder` or in ours.

    `death_signal` is what it gets when the starting thread ends; None lets it live on. A group of
    its own keeps ^C of the terminal from reaching it before we decided what ^C means.
    """
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env=environment,
        cwd=folder,
        pass_fds=keep_fds,
        start_new_session=session,
        process_group=None if session else 0,
        preexec_fn=None if death_signal is None else _die_with_parent(death_signal),
    )
    return Process(child.pid, start_ticks(child.pid) or 0, child)
