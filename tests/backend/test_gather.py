# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/backend/serve/gather.h: a worker pauses only where requests gather."""

import ctypes
from collections.abc import Iterable

import pytest

from tests.stress.test_ring_stress import ENGINE, compile_program

SOURCE = """
#include "serve/gather.h"
static struct gather gather;
void begin(void) { gather = (struct gather){ 0 }; }
bool pauses(unsigned int count) { return gather_pauses(&gather, count); }
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("gather")
    (folder / "gather.c").write_text(SOURCE)
    flags = ("-shared", "-fPIC", f"-I{ENGINE / 'backend'}")
    assert compile_program(folder / "gather.so", flags, folder / "gather.c") == ""
    library = ctypes.CDLL(str(folder / "gather.so"))
    library.pauses.restype = ctypes.c_bool
    return library


@pytest.fixture
def worker(compiled: ctypes.CDLL) -> ctypes.CDLL:
    compiled.begin()
    return compiled


def pauses(worker: ctypes.CDLL, rounds: Iterable[int]) -> int:
    """How many pauses there are, if the rounds find these numbers of requests."""
    return sum(worker.pauses(count) for count in rounds)


def test_a_client_with_one_request_in_flight_hardly_ever_waits(worker: ctypes.CDLL) -> None:
    assert pauses(worker, [1, 0, 0, 0] * 10_000) < 10_000 / 200


def test_many_requests_gather_in_every_round(worker: ctypes.CDLL) -> None:
    assert pauses(worker, [4, 0] * 1000) == 1000


def test_requests_that_come_one_by_one_gather_because_of_the_pause(worker: ctypes.CDLL) -> None:
    paused, count = True, 0
    for _ in range(1000):
        paused = worker.pauses(3 if paused else 1)
        count += paused
    assert count == 1000


def test_a_client_that_becomes_busy_is_noticed_at_once(worker: ctypes.CDLL) -> None:
    pauses(worker, [1, 0] * 1000)
    assert pauses(worker, [2, 0] * 10) == 10


def test_a_client_that_rarely_asks_never_waits(worker: ctypes.CDLL) -> None:
    assert pauses(worker, [1, *[0] * 20] * 100) <= 1
