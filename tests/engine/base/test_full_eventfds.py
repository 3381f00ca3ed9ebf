# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes to eventfds that somebody else filled end: engine/base/full_eventfds.c."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.shared_object import lib
from tests.waiting import wait_until

FULL = 2**64 - 2


@pytest.fixture
def watched() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    lib.full_eventfds_watch(fd)
    yield fd
    lib.full_eventfds_forget(fd)
    os.close(fd)


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_write_to_a_counter_that_was_filled_ends(watched: int) -> None:
    os.set_blocking(watched, True)
    os.eventfd_write(watched, FULL)
    writer = threading.Thread(target=lambda: os.eventfd_write(watched, 1))
    writer.start()
    wait_until(lambda: not writer.is_alive(), "the end of the write")
    assert os.eventfd_read(watched) == 1


def test_a_full_counter_that_makes_nobody_wait_is_left_alone(watched: int) -> None:
    os.eventfd_write(watched, FULL)
    blocking = os.eventfd(0)
    os.eventfd_write(blocking, FULL)
    lib.full_eventfds_watch(blocking)
    os.eventfd_write(blocking, 1)  # a look was taken
    assert os.eventfd_read(watched) == FULL
    lib.full_eventfds_forget(blocking)
    os.close(blocking)


def test_the_thread_ends_with_the_last_eventfd() -> None:
    before = threads()
    for fd in (1000, 1001):
        lib.full_eventfds_watch(fd)
    assert threads() == before + 1
    for fd in (1000, 1001):
        lib.full_eventfds_forget(fd)
    wait_until(lambda: threads() == before, "the end of the thread")


def test_a_forked_process_watches_its_own(watched: int) -> None:
    child = os.fork()
    if not child:
        before = threads()
        lib.full_eventfds_forget(watched)
        lib.full_eventfds_watch(watched)
        os._exit(0 if (before, threads()) == (1, 2) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
