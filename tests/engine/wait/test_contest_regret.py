# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/wait/contest.c: what its trials cost, where some ways are disastrous.

One request is in flight. A Landscape says how long it takes with each way: tens of microseconds,
or a time slice of 4 ms with a way that keeps the back-end from running. The back-end may also be
kept from running now and then, whatever the way. All landscapes are drawn with a seed, so what the
tests find is the same on every machine.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from tests.engine.shared_object import CData, ffi, lib

US, MS, S = 1_000, 1_000_000, 1_000_000_000
WAYS = 9
SLICE_NS = 4 * MS
# How long the engine's first wait may last before it uses another way.
PATIENCE_NS = 400 * US
SEEDS = range(6)


def landscape(chance: random.Random, fastest_ns: int = 20 * US) -> list[int]:
    """How long a request takes with each way; a third of the ways is disastrous."""
    times = [round(fastest_ns * chance.uniform(1.1, 6)) for _ in range(WAYS - 4)]
    times += [*[SLICE_NS] * 3, fastest_ns]
    chance.shuffle(times)
    return times


@dataclass
class Loop:
    """A thread that waits for one request after the other."""

    chance: random.Random
    stall_ns: int = 0  # the mean of the stalls
    state: CData = field(default_factory=lambda: ffi.new("struct contest *"))
    now_ns: int = 1
    done: int = 0
    next_stall_ns: int = 0
    # When the disastrous trials of each way began and ended.
    trials: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        lib.contest_open(self.state, WAYS)

    def go_on(self, times: Sequence[int], duration_ns: int) -> float:
        """Lets time pass; what was done, as a share of what the fastest way would have done."""
        state, end_ns = self.state, self.now_ns + duration_ns
        begun_ns, before, stalled_ns = self.now_ns, self.done, 0
        while self.now_ns < end_ns:
            lib.contest_note(state, self.now_ns, self.done, 1)
            needed_ns = int(times[state.current] * self.chance.uniform(0.9, 1.1))
            if self.stall_ns and self.now_ns > self.next_stall_ns:
                stall_ns = int(self.chance.expovariate(1 / self.stall_ns))
                self.next_stall_ns = self.now_ns + int(self.chance.uniform(5, 15) * MS)
                stalled_ns += stall_ns
                needed_ns += stall_ns
            self._wait(times, needed_ns)
            self.done += 1
        useful_ns = self.now_ns - begun_ns - stalled_ns
        return (self.done - before) * min(times) / useful_ns

    def _wait(self, times: Sequence[int], needed_ns: int) -> None:
        """The engine spins no longer than the trial may last. Then it uses the best way."""
        state, way, begun_ns = self.state, self.state.current, self.now_ns
        left_ns = lib.contest_left_ns(state)
        if not state.rate_usual and needed_ns > PATIENCE_NS:
            self.now_ns += PATIENCE_NS
            lib.contest_replace_first(state, times.index(min(times)))
            needed_ns = min(times)
        elif left_ns < needed_ns:
            self.now_ns += left_ns
            lib.contest_wait_on(state, self.now_ns)
            assert state.current == state.best != way
            self.trials[way].append((begun_ns, self.now_ns))
            needed_ns = times[state.best]
        self.now_ns += needed_ns


@pytest.mark.parametrize("seed", SEEDS)
def test_trials_cost_one_percent_of_the_time(seed: int) -> None:
    chance = random.Random(seed)
    loop, times = Loop(chance), landscape(chance)
    assert loop.go_on(times, S // 2) > 0.92  # all ways are tried at the beginning
    assert min(loop.go_on(times, S) for _ in range(2)) > 0.985


@pytest.mark.parametrize("seed", SEEDS)
def test_other_conditions_are_noticed(seed: int) -> None:
    """Each time, another way is the fastest, and it takes three times as long."""
    chance = random.Random(seed)
    loop = Loop(chance)
    for fastest_us in (20, 60, 200):
        times = landscape(chance, fastest_us * US)
        loop.go_on(times, S)
        assert loop.go_on(times, S // 2) > 0.97


@pytest.mark.parametrize("seed", SEEDS)
def test_stalls_of_the_back_end_hide_no_way(seed: int) -> None:
    chance = random.Random(seed)
    loop, times = Loop(chance, stall_ns=2 * MS), landscape(chance)
    loop.go_on(times, S)
    assert loop.go_on(times, S) > 0.95


def test_a_disaster_is_repeated_when_its_cost_is_a_thousandth() -> None:
    loop = Loop(random.Random(1))
    times = [20 * US, SLICE_NS, *[40 * US] * (WAYS - 2)]
    loop.go_on(times, 2 * S)
    trials = loop.trials[1]
    assert loop.state.unsettlings == 0
    assert len(trials) > 1  # it is not forgotten
    for (began_ns, ended_ns), (again_ns, _) in pairwise(trials):
        assert again_ns - ended_ns >= 1000 * (ended_ns - began_ns)


def test_a_trial_ends_at_the_first_look_that_is_far_too_late() -> None:
    loop = Loop(random.Random(1))
    loop.go_on([20 * US, *[SLICE_NS] * (WAYS - 1)], S)
    lengths = [ended - began for trials in loop.trials.values() for began, ended in trials]
    assert len(loop.trials) == WAYS - 1
    assert max(lengths) < 20 * 20 * US  # twenty requests of the best way
