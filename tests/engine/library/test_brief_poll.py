# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/library/brief_poll.c: how a thread polls before it sleeps, with a clock of our own."""

import ctypes
import threading
from pathlib import Path

import pytest

from tests.stress.test_ring_stress import ENGINE, compile_program

US, S = 1_000, 1_000_000_000
SPIN, YIELD, SLEEP = range(3)


class Cpu:
    """One CPU, on which this thread polls, and perhaps a second one."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.wait_once.restype = ctypes.c_bool
        library.wait_once.argtypes = [ctypes.c_uint64]
        library.open_all()
        self.set(looks_needed=0, yield_ns=US, look_ns=100)

    def set(self, **values: int) -> None:
        for name, value in values.items():
            kind = ctypes.c_uint64 if name.endswith("_ns") else ctypes.c_uint
            kind.in_dll(self.library, name).value = value

    def get(self, name: str) -> int:
        kind = ctypes.c_uint64 if name.endswith("_ns") else ctypes.c_uint
        return kind.in_dll(self.library, name).value

    def wait(self, done: int = 0) -> bool:
        return bool(self.library.wait_once(done))

    def wait_in_another_thread(self) -> None:
        thread = threading.Thread(target=self.wait)
        thread.start()
        thread.join()

    def share(self, way: int) -> None:
        """Two threads poll here from now on."""
        self.set(looks_needed=1)
        self.wait()
        self.wait_in_another_thread()
        self.wait()
        self.set(looks_needed=0)
        self.library.use_way(way)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    target = tmp_path_factory.mktemp("brief_poll") / "brief_poll.so"
    # Without -Bsymbolic, libc's clock and scheduler would be used.
    flags = ("-shared", "-fPIC", "-Wl,-Bsymbolic")
    sources = (Path(__file__).with_name("brief_poll_clock.c"), ENGINE / "wait" / "contest.c")
    assert compile_program(target, flags, *sources) == ""
    return ctypes.CDLL(str(target))


@pytest.fixture
def cpu(library: ctypes.CDLL) -> Cpu:
    return Cpu(library)


def test_a_thread_alone_looks_for_20_us_and_never_yields(cpu: Cpu) -> None:
    begun_ns = cpu.get("now_ns")
    assert not cpu.wait()
    assert cpu.get("num_yields") == 0
    assert 20 * US <= cpu.get("now_ns") - begun_ns < 25 * US


def test_after_a_spin_that_failed_the_next_32_waits_sleep_at_once(cpu: Cpu) -> None:
    looks = []
    for _ in range(34):
        cpu.wait()
        looks.append(cpu.get("num_looks"))
    assert [bool(count) for count in looks] == [True, *[False] * 32, True]


def test_threads_that_share_a_cpu_yield_before_each_look(cpu: Cpu) -> None:
    cpu.share(YIELD)
    cpu.set(looks_needed=3)
    assert cpu.wait()
    assert cpu.get("num_yields") == cpu.get("num_looks") == 3


def test_a_cpu_that_is_not_shared_any_more_is_noticed(cpu: Cpu) -> None:
    cpu.share(YIELD)
    cpu.set(looks_needed=20)
    cpu.wait()
    cpu.wait()
    assert cpu.get("num_yields") == 0


def test_sleep_means_neither_a_look_nor_a_yield(cpu: Cpu) -> None:
    cpu.share(SLEEP)
    assert not cpu.wait()
    assert cpu.get("num_looks") == cpu.get("num_yields") == 0


def test_a_thread_that_polls_without_a_limit_gives_way_if_the_cpu_is_shared(cpu: Cpu) -> None:
    cpu.wait()
    cpu.library.give_way()
    assert cpu.get("num_yields") == 0
    cpu.share(SPIN)
    cpu.library.give_way()
    assert cpu.get("num_yields") == 1


@pytest.mark.parametrize("best", [SPIN, YIELD, SLEEP])
def test_the_way_with_the_highest_rate_is_found(cpu: Cpu, best: int) -> None:
    cpu.share(SPIN)
    end_ns, done = cpu.get("now_ns") + S // 4, 0
    used = [0, 0, 0]
    while cpu.get("now_ns") < end_ns:
        cpu.set(looks_needed=1)
        if done % 100 == 0:  # the other thread shows that it is still there
            cpu.wait_in_another_thread()
        cpu.wait(done)
        way = cpu.library.way_in_use()
        done += 10
        used[way] += 1
        cpu.set(now_ns=cpu.get("now_ns") + (20 if way == best else 60) * US)
    assert used[best] > 0.8 * sum(used)
