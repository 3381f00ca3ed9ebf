# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may be in a call while a gate is shut, at every step of the gate's own code."""

import errno
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from pyfio_virtio.disk import gate as module
from pyfio_virtio.disk.gate import Gate
from pyfio_virtio.errors import DiskError

LIMIT_S = 60.0


class Guarded(Gate):
    refusal = "too late"

    def __init__(self) -> None:
        self.frees = 0
        self.interrupts = 0
        self.uses_after_free = 0
        super().__init__()

    def interrupt(self) -> None:
        self.interrupts += 1

    def free(self) -> None:
        self.frees += 1

    def use(self) -> int:
        """A call: 0, or the errno."""
        try:
            with self:
                self.uses_after_free += self.frees
        except DiskError as error:
            return error.errno or 0
        return 0


def at_step(number: int, act: Callable[[], object], call: Callable[[], object]) -> bool:
    """Calls, and acts once at this step of the gate's code, as a signal handler would.

    Whether there was such a step.
    """
    left = number

    def trace(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401
        nonlocal left
        if frame.f_code.co_filename != module.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                sys.settrace(None)
                frame.f_trace = None
                act()
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return left <= 0


@pytest.mark.parametrize("name", ["use", "shut"])
def test_shutting_it_at_any_step_of_a_call_frees_it_once_and_in_time(name: str) -> None:
    step, is_there = 0, True
    while is_there:
        step += 1
        guarded = Guarded()
        is_there = at_step(step, guarded.shut, getattr(guarded, name))
        guarded.shut()
        assert (guarded.frees, guarded.uses_after_free) == (1, 0), f"step {step}"
        assert guarded.use() == errno.EBADF
    assert step > 10


def test_nobody_comes_in_when_it_is_shut() -> None:
    guarded = Guarded()
    assert guarded.use() == 0
    guarded.shut()
    with pytest.raises(DiskError, match="too late") as refused:
        guarded.__enter__()
    assert refused.value.errno == errno.EBADF


def test_the_last_to_leave_frees_it() -> None:
    guarded = Guarded()
    is_in, may_leave = threading.Event(), threading.Event()

    def stay() -> None:
        with guarded:
            is_in.set()
            may_leave.wait(LIMIT_S)

    thread = threading.Thread(target=stay)
    thread.start()
    is_in.wait(LIMIT_S)
    closer = threading.Thread(target=guarded.shut)
    closer.start()
    assert guarded.frees == 0
    may_leave.set()
    closer.join(LIMIT_S)
    thread.join(LIMIT_S)
    assert (guarded.frees, guarded.interrupts) == (1, 1)


def test_who_is_inside_does_not_wait_for_itself() -> None:
    guarded = Guarded()
    with guarded:
        guarded.shut()
        assert guarded.frees == 0
    assert guarded.frees == 1


def test_one_that_was_made_before_a_fork_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = Guarded()
    monkeypatch.setattr(module, "_forks", module.fork_count() + 1)
    with pytest.raises(DiskError, match="another process"):
        guarded.__enter__()
    guarded.shut()
    assert (guarded.frees, guarded.interrupts) == (0, 0)
