# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes below this one, also those whose parents have ended.

Owns the two flags of prctl(2) by which nothing outlives its starter: a parent-death signal for this
process, and the adoption of all processes below it that lose their parent. fio's jobs leave fio's
process group and session, so a signal to the group does not reach them. The numbers of children are
not given to other processes before we have waited for them, so no stranger is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_LOOK_S = 0.005
_MOST_S = 10.0  # the kernel needs time to free the memory of a process


def die_with(parent: int, number: int) -> None:
    """Asks the kernel for this signal when our parent ends. Exits if it is not `parent` any more.

    fork(2) clears this flag, so each child asks for itself.
    """
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        raise SystemExit(0)


def adopt() -> None:
    """Lets processes below this one become its children when their parents end.

    fork(2) clears this flag, too.
    """
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)


def children(pid: int) -> list[int]:
    """The processes whose parent is a thread of this process; those that have ended, too."""
    found: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except FileNotFoundError:  # the process has ended, or the kernel was built without this file
        import psutil  # slow to import, and mostly not needed

        with suppress(psutil.Error):
            return [each.pid for each in psutil.Process(pid).children()]
    except OSError:
        pass
    return found


def below(pid: int) -> Iterator[int]:
    """All processes below this one."""
    for child in children(pid):
        yield child
        yield from below(child)


def end_all(kept: Collection[int] = ()) -> None:
    """Kills our children, but for those that are kept, and then what becomes our child by that.

    Returns when none is left, or after some seconds: the kernel may hold a process that waits for a
    device.
    """
    deadline = time.monotonic() + _MOST_S
    while left := [each for each in children(os.getpid()) if each not in kept]:
        for each in left:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
            with suppress(ChildProcessError):  # a Popen has waited for it
                os.waitpid(each, os.WNOHANG)
        if time.monotonic() >= deadline:
            return
        time.sleep(_LOOK_S)
