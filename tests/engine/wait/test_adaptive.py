# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/wait/adaptive.c: what wait=adaptive decides, on machines that are simulated."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.shared_object import CData, ffi, lib
from tests.engine.simulated_device import (
    BLOCK,
    CHECK_NS,
    MS,
    SLEEP,
    SPIN,
    US,
    Adaptive,
    Fixed,
    Machine,
    PollingSharedCore,
    SeparateCores,
    SharedCore,
    run,
)

LONGEST_SLEEP_NS = int(lib.ADAPTIVE_LONGEST_SLEEP_NS)
OTHERS = [Fixed(SPIN), Fixed(BLOCK), *(Fixed(SLEEP, us * US) for us in (5, 10, 20, 50, 100, 200))]


def constant(ns: int) -> Callable[[int], int]:
    return lambda _: ns


def alternating(time_ns: int) -> int:
    return 10 * US if time_ns // (100 * MS) % 2 else 100 * US


MACHINES: dict[str, Callable[[int], Machine]] = {
    "separate, 20 us": lambda depth: SeparateCores(depth, service_ns=constant(20 * US)),
    "separate, 100 us": lambda depth: SeparateCores(depth, service_ns=constant(100 * US)),
    "separate, 10 and 100 us": lambda depth: SeparateCores(depth, service_ns=alternating),
    "shared, slow timers": SharedCore,
    "shared, polling": PollingSharedCore,
    "shared, polling, long yields": lambda depth: PollingSharedCore(depth, gives_way=True),
    "shared, quick timers": lambda depth: SharedCore(depth, oversleep_ns=2 * US),
}


@pytest.mark.parametrize("depth", [1, 16, 128])
@pytest.mark.parametrize("name", MACHINES)
def test_no_other_way_does_5_percent_more(name: str, depth: int) -> None:
    duration_ns = 400 * MS
    best = max(run(MACHINES[name](depth), other, duration_ns // 4) for other in OTHERS[:-1])
    if name == "separate, 10 and 100 us":  # a quarter would be one latency alone
        best = run(MACHINES[name](depth), Fixed(SPIN), duration_ns)
    assert run(MACHINES[name](depth), Adaptive(), duration_ns) > 0.95 * best


# ---- how soon ---------------------------------------------------------------------------------


def test_a_core_that_the_back_end_needs_is_given_up_within_milliseconds() -> None:
    machine, adaptive = SharedCore(depth=16), Adaptive()
    run(machine, adaptive, 30 * MS)
    assert adaptive.best_way != "spin"


def test_spinning_comes_back_when_the_back_end_gets_a_core_of_its_own() -> None:
    adaptive = Adaptive()
    before = SharedCore()
    run(before, adaptive, 200 * MS)
    after = SeparateCores(now=before.now, service_ns=constant(5 * US))
    run(after, adaptive, 100 * MS)
    spun = run(after, Fixed(SPIN), 20 * MS)
    assert run(after, adaptive, 100 * MS) > 0.95 * spun


@pytest.mark.parametrize(("before_us", "after_us"), [(10, 100), (100, 10)])
def test_a_tenfold_latency_is_known_within_100_ms(before_us: int, after_us: int) -> None:
    machine, adaptive = SeparateCores(service_ns=constant(before_us * US)), Adaptive(50)
    run(machine, adaptive, 200 * MS)
    machine.service_ns = constant(after_us * US)
    run(machine, adaptive, 100 * MS)
    assert adaptive.state.arrival.mean_ns == pytest.approx(after_us * US, rel=0.2)


# ---- how late ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wait:
    """One wait: when its completion comes, and what steps really cost in it."""

    arrival_ns: int
    oversleep_ns: int
    wake_ns: int


WAITS = st.lists(
    st.builds(
        Wait,
        st.one_of(st.integers(0, 300 * US), st.integers(0, 20 * MS)),
        st.integers(0, 300 * US),
        st.integers(0, 100 * US),
    ),
    min_size=1,
    max_size=60,
)


def step_end_ns(step: CData, now_ns: int, arrival_ns: int, wait: Wait) -> tuple[int, int]:
    """When the step ends, and how late the machine made that."""
    end_ns = now_ns + min(step.length_ns, CHECK_NS)
    if step.action == SLEEP:
        return end_ns + wait.oversleep_ns, wait.oversleep_ns
    if step.action == BLOCK:
        return max(now_ns, min(end_ns, arrival_ns)) + wait.wake_ns, wait.wake_ns
    return max(now_ns + 1, min(end_ns, arrival_ns)), 1


@settings(max_examples=300, deadline=None)
@given(waits=WAITS, repeats=st.integers(1, 200), cpu=st.integers(0, 100), depth=st.integers(1, 256))
def test_no_completion_is_left_waiting(
    waits: list[Wait], repeats: int, cpu: int, depth: int
) -> None:
    state = ffi.new("struct adaptive *")
    lib.adaptive_open(state, cpu)
    now_ns, done = 1, 0
    for wait in (waits * repeats)[:2000]:
        arrival_ns, late_ns = now_ns + wait.arrival_ns, 0
        lib.adaptive_begin(state, now_ns, done, depth)
        while now_ns < arrival_ns:
            step, began_ns = lib.adaptive_next(state), now_ns
            now_ns, late_ns = step_end_ns(step, now_ns, arrival_ns, wait)
            outcome = (now_ns, (now_ns - began_ns) // 2, now_ns >= arrival_ns)
            lib.adaptive_learn(state, ffi.new("struct adaptive_outcome *", outcome))
        assert now_ns - arrival_ns <= LONGEST_SLEEP_NS + late_ns
        done += depth
        now_ns += 500


# ---- what may be burnt --------------------------------------------------------------------------


def test_half_a_core_costs_at_most_0_6_of_the_cpu() -> None:
    spun, halved = (SeparateCores(service_ns=constant(100 * US)) for _ in range(2))
    spun_rate = run(spun, Fixed(SPIN), 500 * MS)
    rate = run(halved, Adaptive(50), 500 * MS)
    assert halved.waiting_cpu_ns / rate < 0.6 * spun.waiting_cpu_ns / spun_rate


@pytest.mark.parametrize("percent", [5, 20, 50, 80])
@pytest.mark.parametrize("depth", [1, 16])
def test_waiting_burns_no_more_than_it_may(percent: int, depth: int) -> None:
    machine = SeparateCores(depth, service_ns=constant(100 * US))
    run(machine, Adaptive(percent), 500 * MS)
    assert machine.waiting_cpu_ns < 500 * MS * (percent + 2) / 100


def test_without_cpu_it_always_blocks() -> None:
    adaptive, now_ns = Adaptive(0), 1
    state = adaptive.state
    for done in range(1000):
        lib.adaptive_begin(state, now_ns, done, 1)
        for is_over in (False, True):  # the first block ends before its time
            assert lib.adaptive_next(state).action == BLOCK
            now_ns += 50 * US
            outcome = ffi.new("struct adaptive_outcome *", (now_ns, 0, is_over))
            lib.adaptive_learn(state, outcome)
    assert (adaptive.best_way, state.contest.trials) == ("block", 0)


def test_oversleeping_does_not_lengthen_the_next_sleep() -> None:
    machine = SeparateCores(service_ns=constant(100 * US), oversleep_ns=150 * US)
    adaptive = Adaptive(30)
    for _ in range(50):
        run(machine, adaptive, 10 * MS)
        assert adaptive.state.arrival.mean_ns < 110 * US


def test_nobody_looks_on_and_on_for_what_does_not_come() -> None:
    adaptive = Adaptive()
    lib.adaptive_begin(adaptive.state, 1, 0, 1)
    step = lib.adaptive_next(adaptive.state)
    while step.action != BLOCK:
        assert step.length_ns <= 2 * MS
        now_ns = adaptive.state.now_ns + step.length_ns
        assert now_ns < 3 * MS
        lib.adaptive_learn(adaptive.state, ffi.new("struct adaptive_outcome *", (now_ns, 0, False)))
        step = lib.adaptive_next(adaptive.state)
