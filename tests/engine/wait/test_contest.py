# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/wait/contest.c: which of several ways does most, found by trying."""

import random
from collections.abc import Sequence

import pytest

from tests.engine.shared_object import CData, ffi, lib

US = 1_000
MS = 1_000_000
S = 1_000_000_000


class Contest:
    """A contest between ways whose rates (per ms) the test names."""

    def __init__(self, ways: int) -> None:
        self.state: CData = ffi.new("struct contest *")
        lib.contest_open(self.state, ways)
        self.now_ns, self.done = 1, 0.0

    def go_on(self, rates: Sequence[float], duration_ns: int, every_ns: int = 50 * US) -> float:
        """Lets time pass; what was done, as a share of what the best way would have."""
        before, end = self.done, self.now_ns + duration_ns
        while self.now_ns < end:
            self.now_ns += every_ns
            self.done += rates[self.state.current] * every_ns / MS
            lib.contest_note(self.state, self.now_ns, int(self.done), 1)
        return (self.done - before) / (max(rates) * duration_ns / MS)


@pytest.mark.parametrize("best", range(4))
def test_the_best_way_is_found_within_milliseconds(best: int) -> None:
    contest = Contest(4)
    contest.go_on([1000 if way == best else 500 for way in range(4)], 20 * MS)
    assert contest.state.best == best


@pytest.mark.parametrize("best", range(4))
def test_a_way_better_by_5_percent_is_found(best: int) -> None:
    contest = Contest(4)
    contest.go_on([1050 if way == best else 1000 for way in range(4)], 100 * MS)
    assert contest.state.best == best


def test_a_way_that_is_as_good_changes_nothing() -> None:
    contest = Contest(4)
    contest.go_on([1000] * 4, S)
    assert contest.state.changes == 0


@pytest.mark.parametrize("others", [900.0, 500.0, 10.0])
def test_all_trials_together_cost_two_percent_at_most(others: float) -> None:
    contest = Contest(9)
    assert contest.go_on([1000, *[others] * 8], S) > 0.985
    assert contest.go_on([1000, *[others] * 8], S) > 0.99


def test_what_changes_for_all_does_not_count() -> None:
    contest = Contest(2)
    contest.go_on([1000, 900], 100 * MS)
    for factor in (0.5, 2.0, 0.1, 1.0):
        contest.go_on([1000 * factor, 900 * factor], 200 * MS)
        assert contest.state.best == 0


def test_another_world_is_noticed_within_100_ms() -> None:
    contest = Contest(9)
    contest.go_on([1000, *[600] * 8], 2 * S)  # by then, each is tried every 400 ms
    contest.go_on([500, *[300] * 7, 1000], 100 * MS)
    assert contest.state.best == 8


def test_a_thread_kept_from_running_now_and_then_is_no_other_world() -> None:
    contest = Contest(4)
    for _ in range(100):
        contest.go_on([1000] * 4, 17 * MS)
        contest.go_on([0.001] * 4, 3 * MS, every_ns=3 * MS)
    assert contest.state.unsettlings == 0


@pytest.mark.parametrize("seed", range(5))
def test_chance_rarely_changes_the_best_way(seed: int) -> None:
    """Ways that are alike, on a core that another thread takes half of the time."""
    contest, chance = Contest(9), random.Random(seed)
    for _ in range(500):
        contest.go_on([1000] * 9, int(chance.uniform(1, 5) * MS))
        contest.go_on([0.001] * 9, 1, every_ns=int(chance.uniform(1, 5) * MS))
    assert contest.state.changes < 20


def test_a_way_that_cannot_win_is_not_tried() -> None:
    contest = Contest(2)
    contest.state.ways[1].shortest_ns = 20 * US  # one request in flight: 50 per ms at most
    contest.go_on([100, 1000], 100 * MS)
    assert contest.state.trials == 0


def test_a_device_too_slow_to_judge_by_changes_nothing() -> None:
    contest = Contest(4)
    contest.go_on([0.1] * 4, S, every_ns=10 * MS)
    assert contest.state.trials == 0
