# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/wait/wait.c: what every way of waiting keeps to, in a thread that really waits."""

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.shared_object import CData, ffi, lib, sentence

KINDS = {
    "event": lib.WAIT_EVENT,
    "busy": lib.WAIT_BUSY,
    "sleepy": lib.WAIT_SLEEPY,
    "adaptive": lib.WAIT_ADAPTIVE,
}
DEFAULT = lib.WAIT_DEFAULT
NEVER = 0xFFFFFFFF
MS = 1_000_000
# Bounds a hang; no test takes so long.
PATIENCE_NS = 20_000 * MS


@pytest.mark.parametrize("name", ["default", *KINDS])
def test_every_way_of_waiting_has_a_name(name: str) -> None:
    kind = lib.wait_named(name.encode())
    assert kind == {"default": DEFAULT, **KINDS}[name]
    assert ffi.string(lib.wait_name(kind)).decode() == name


@pytest.mark.parametrize("kind", [-1, 5, 1 << 30])
def test_what_is_no_way_of_waiting_has_no_name(kind: int) -> None:
    assert lib.wait_name(kind) == ffi.NULL


@pytest.mark.parametrize("name", ["", "often", "EVENT"])
def test_an_unknown_name_is_refused_with_all_that_are_known(name: str) -> None:
    assert lib.wait_named(name.encode()) == -errno.EINVAL
    assert f"wait={name}: use one of {', '.join(['default', *KINDS])}" in sentence()


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ((DEFAULT, 0), (lib.WAIT_ADAPTIVE, 0)),
        ((DEFAULT, 7), (lib.WAIT_SLEEPY, 7)),
        ((lib.WAIT_SLEEPY, 0), (lib.WAIT_SLEEPY, 50)),
        ((lib.WAIT_SLEEPY, 7), (lib.WAIT_SLEEPY, 7)),
        ((lib.WAIT_EVENT, 0), (lib.WAIT_EVENT, 0)),
    ],
)
def test_what_is_left_out_is_filled_in(asked: tuple[int, int], chosen: tuple[int, int]) -> None:
    """fio's jobs and the library choose by the same function."""
    kind, sleepy_poll_us = ffi.new("enum wait_kind *"), ffi.new("unsigned int *")
    kind[0], sleepy_poll_us[0] = asked
    lib.wait_choose(kind, sleepy_poll_us)
    assert (kind[0], sleepy_poll_us[0]) == chosen


def timer_slack_ns() -> int:
    return int(Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text())


class Waiting:
    """A wait of this thread for completions that appear as the test says."""

    def __init__(self, kind: str, sleepy_poll_us: int = 20) -> None:
        self.found = 0
        self.calls_wanted = threading.Event()
        self.eventfd = os.eventfd(0, os.EFD_NONBLOCK)
        self.connection, self.peer = socket.socketpair()
        self.completed = ffi.new("uint64_t *")
        self.fds = ffi.new("struct pollfd[2]")
        self.fds[0].fd, self.fds[0].events = self.eventfd, select.POLLIN
        self.fds[1].fd, self.fds[1].events = self.connection.fileno(), select.POLLRDHUP
        self.callbacks = [
            ffi.callback("unsigned int(void *)", lambda _: self.found),
            ffi.callback("bool(void *)", self._ask_calls),
            ffi.callback("void(void *)", lambda _: self.calls_wanted.clear()),
            ffi.callback("unsigned int(void *)", lambda _: 1),
        ]
        look, ask, refuse, in_flight = self.callbacks
        source = ffi.new("struct wait_source *")
        source.look, source.ask_calls, source.refuse_calls = look, ask, refuse
        source.fds, source.num_eventfds, source.num_fds = self.fds, 1, 2
        source.completed, source.in_flight = self.completed, in_flight
        self.wait: CData = ffi.new("struct wait *")
        lib.wait_open(self.wait, KINDS[kind], sleepy_poll_us, source)

    def _ask_calls(self, _context: CData) -> bool:
        self.calls_wanted.set()
        return self.found > 0

    def until(self, least: int, limit_ns: int) -> int:
        return int(lib.wait_until(self.wait, least, time.monotonic_ns() + limit_ns))

    def complete(self, count: int) -> None:
        """What a back-end does: publishes, then calls if that is wanted."""
        self.found += count
        self.completed[0] += count
        if self.calls_wanted.is_set():
            os.eventfd_write(self.eventfd, 1)

    def close(self) -> None:
        lib.wait_leave(self.wait)
        os.close(self.eventfd)
        self.connection.close()
        self.peer.close()


@pytest.fixture(params=KINDS)
def waiting(request: pytest.FixtureRequest) -> Iterator[Waiting]:
    made = Waiting(request.param)
    yield made
    made.close()


def test_what_is_there_is_found_at_once(waiting: Waiting) -> None:
    waiting.complete(3)
    assert waiting.until(1, PATIENCE_NS) == 3


def test_a_wait_ends_at_its_deadline(waiting: Waiting) -> None:
    assert waiting.until(1, 5 * MS) == 0


def test_a_deadline_in_the_past_still_looks_once(waiting: Waiting) -> None:
    waiting.complete(1)
    assert waiting.until(1, -MS) == 1


def test_a_completion_ends_the_wait(waiting: Waiting) -> None:
    timer = threading.Timer(0.02, waiting.complete, (1,))
    timer.start()
    assert waiting.until(1, PATIENCE_NS) == 1
    timer.join()


def test_fewer_than_wanted_do_not_end_it(waiting: Waiting) -> None:
    waiting.complete(1)
    timer = threading.Timer(0.02, waiting.complete, (2,))
    timer.start()
    assert waiting.until(3, PATIENCE_NS) == 3
    timer.join()


def test_many_waits_in_a_row(waiting: Waiting) -> None:
    for count in range(1, 50):
        timer = threading.Timer(0.001, waiting.complete, (1,))
        timer.start()
        assert waiting.until(count, PATIENCE_NS) == count
        timer.join()


@pytest.mark.parametrize("kind", ["event", "adaptive"])
def test_a_hang_up_ends_a_block(kind: str) -> None:
    waiting = Waiting(kind)
    timer = threading.Timer(0.02, waiting.peer.close)
    timer.start()
    assert waiting.until(1, PATIENCE_NS) == 0
    timer.join()
    waiting.close()


@pytest.mark.parametrize(("kind", "slack_ns"), [("event", None), ("busy", None), ("sleepy", 1)])
def test_who_sleeps_does_so_precisely(kind: str, slack_ns: int | None) -> None:
    before = timer_slack_ns()
    waiting = Waiting(kind)
    waiting.until(1, 5 * MS)
    during = timer_slack_ns()
    waiting.close()
    assert during == (slack_ns or before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_leaves_the_thread_as_it_was(kind: str) -> None:
    before = timer_slack_ns()
    waiting = Waiting(kind)
    waiting.until(1, 5 * MS)
    waiting.close()
    assert timer_slack_ns() == before


def test_sleeps_are_recorded_as_long_as_they_were() -> None:
    waiting = Waiting("sleepy", sleepy_poll_us=500)
    started_ns = time.monotonic_ns()
    waiting.until(1, 5 * MS)
    took_ns = time.monotonic_ns() - started_ns
    counters = waiting.wait.counters
    waiting.close()
    assert 0 < counters.sleeps <= 10
    assert took_ns >= 5 * MS
    assert counters.oversleep_ns < counters.sleep_ns <= took_ns
    # The limit may cut the last sleep short; nothing cuts the others.
    asked_ns = counters.sleep_ns - counters.oversleep_ns
    assert (counters.sleeps - 1) * MS // 2 <= asked_ns <= counters.sleeps * MS // 2


def test_adaptive_blocks_when_nothing_comes() -> None:
    waiting = Waiting("adaptive")
    waiting.until(1, 20 * MS)
    waiting.close()
    assert waiting.wait.counters.polls > 0


def test_adaptive_without_cpu_never_looks_on() -> None:
    waiting = Waiting("adaptive")
    lib.wait_limit_cpu(waiting.wait, 0)
    waiting.until(1, 5 * MS)
    waiting.close()
    counters = waiting.wait.counters
    assert (counters.spins, counters.yields, counters.sleeps) == (0, 0, 0)
