# SPDX-License-Identifier: GPL-2.0-or-later
"""Spends the time: searches, and then compares what was found with the defaults in new runs.

Owns the order of the runs, and keeps what was learned so far, so that an interrupted tuner can
still tell it. The runs of the comparison are fresh: the luck that made a setup win the search is
not in them. The runs are made by somebody else, who may be a simulation. Called from one thread.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.tune.budget import Budget
from pyfio_virtio.tune.goals import Goal
from pyfio_virtio.tune.search import Search, Workload
from pyfio_virtio.tune.setups import DEFAULTS, Setup, label

_SEARCH_RAMP_S = 0.05
_WARM_UP_S = 0.1
# A run that is killed at the end of the time has hung if fio was given this long to end. Otherwise
# it was only late, which says nothing about its setup.
_HUNG_S = 2.0


@dataclass(frozen=True)
class Length:
    """How long a run measures, and how long it may hang."""

    runtime_s: float
    ramp_s: float
    patience_s: float


@dataclass(frozen=True)
class Result:
    """One run: what it reached by metric, or why it failed, and its place in the sequence."""

    values: Mapping[str, float]
    order: int
    error: str = ""


class Measure(Protocol):
    """Makes one run of a setup in a round, and returns its result."""

    def __call__(self, workload: Workload, setup: Setup, round_: int, length: Length) -> Result: ...


@dataclass(frozen=True)
class Finding:
    """What was found for a goal. `fresh` has the rounds of the comparison."""

    goal: Goal
    workload: Workload
    leader: Setup | None  # None: there is nothing to try but the defaults
    fresh: tuple[Mapping[Setup, Result], ...]
    looked: float  # the gain in the search, as a logarithm, which proves nothing

    def series(self, setup: Setup, metric: str) -> list[float]:
        """A metric of a setup in each round; NaN where it is missing."""
        found = [each[setup].values if setup in each else {} for each in self.fresh]
        return [values.get(metric, float("nan")) for values in found]

    def orders(self, setup: Setup) -> list[float]:
        """The place of each of these runs in the sequence."""
        return [each[setup].order if setup in each else float("nan") for each in self.fresh]

    def failure(self, setup: Setup) -> str:
        """In how many of its rounds a setup failed, and why it did so first; "": in none."""
        runs = [each[setup] for each in self.fresh if setup in each]
        failed = [each.error for each in runs if each.error]
        if not failed:
            return ""
        count = f"{len(failed)} of {len(runs)} {'round' if len(runs) == 1 else 'rounds'}"
        return f"{label(setup)} failed in {count}, and only the others count: {failed[0]}"


class Tuner:
    """Tunes some workloads within a budget."""

    def __init__(
        self,
        workloads: Sequence[Workload],
        measure: Measure,
        budget: Budget,
        clock: Callable[[], float],
        seed: int = 0,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._searches = [Search(each) for each in workloads]
        self._measure = measure
        self._budget = budget
        self._clock = clock
        self._seed = seed
        self._tell = tell
        self._round = 0
        self._fresh: dict[str, list[dict[Setup, Result]]] = {each.name: [] for each in workloads}
        self.failed: dict[str, str] = {}  # why setups failed in the search, by their labels
        self.stopped = ""  # why the comparison ended: all runs of its last round failed
        self.runs = 0
        self._warm_s = 0.0  # what the first run took

    def run(self) -> None:
        """Searches and compares, until the time is over or enough is known."""
        if not self._warm_up():
            return
        keep_s = self._budget.kept_s(self._most_compared())
        for place, search in enumerate(self._searches):
            rest = [each.workload.most_runs() for each in self._searches[place:]]
            later = sum(rest[1:]) / sum(rest) * max(0.0, self._budget.left_s() - keep_s)
            self._search(search, keep_s + later)
        self._compare()

    def findings(self) -> list[Finding]:
        """What is known by now of each goal."""
        return [
            self._finding(search, goal)
            for search in self._searches
            for goal in search.workload.goals
        ]

    @property
    def tried(self) -> int:
        """The number of setups with results."""
        return sum(len(each.scores.known()) for each in self._searches)

    @property
    def rounds(self) -> int:
        """The rounds of the comparison, of which the last one may not be complete."""
        return max(len(each) for each in self._fresh.values())

    def needed_s(self) -> float:
        """In about which time something could be shown."""
        return self._warm_s + self._budget.needed_s(self._most_compared())

    def _most_compared(self) -> int:
        return sum(1 + len(each.workload.goals) for each in self._searches)

    # ---- the search ----------------------------------------------------------------------------

    def _warm_up(self) -> bool:
        """Shows that the defaults can be measured, and what a run costs. Its results are not used,
        because the first run finds files and memory that are not warm. False: it does not fit.
        """
        search = self._searches[0]
        if not self._budget.fits(_WARM_UP_S + _SEARCH_RAMP_S):
            return False
        began_s = self._clock()
        result = self._one(search.workload, DEFAULTS, self._length(_WARM_UP_S, _SEARCH_RAMP_S))
        self._refuse_failed_defaults(search.workload, result)
        self._warm_s = self._clock() - began_s
        return bool(result.values)

    def _search(self, search: Search, keep_s: float) -> None:
        runtime_s = self._budget.search_runtime_s(search.workload.most_runs(), keep_s)
        for setups in search.rounds():
            self._round += 1
            search.scores.begin()
            for setup in setups:
                if not self._budget.fits(runtime_s + _SEARCH_RAMP_S, keep_s=keep_s):
                    return
                if label(setup) in self.failed:
                    continue
                result = self._one(search.workload, setup, self._length(runtime_s, _SEARCH_RAMP_S))
                if setup == DEFAULTS:
                    self._refuse_failed_defaults(search.workload, result)
                elif result.error:
                    self.failed[label(setup)] = result.error
                search.scores.add(setup, result.values)

    def _refuse_failed_defaults(self, workload: Workload, result: Result) -> None:
        if result.error:
            raise PyfioVirtioError(f"cannot measure the defaults for {workload.name}", result.error)

    # ---- the comparison ----------------------------------------------------------------------

    def _compare(self) -> None:
        chosen = [(each.workload, setup) for each in self._searches for setup in _finalists(each)]
        if not chosen:
            return
        final = self._budget.final(len(chosen))
        for _ in range(final.rounds):
            if not self._budget.fits(final.runtime_s + final.ramp_s, len(chosen)):
                return
            self._round += 1
            for rounds in self._fresh.values():
                rounds.append({})
            # The order must be repeatable.
            order = random.Random(f"{self._seed}/{self._round}").sample(chosen, len(chosen))  # noqa: S311
            for workload, setup in order:
                if not self._budget.fits(final.runtime_s + final.ramp_s):
                    return
                result = self._one(workload, setup, self._length(final.runtime_s, final.ramp_s))
                self._fresh[workload.name][-1][setup] = result
            results = [each for rounds in self._fresh.values() for each in rounds[-1].values()]
            if all(each.error for each in results):
                self.stopped = results[0].error
                for rounds in self._fresh.values():
                    rounds.pop()  # it is about the disk, and not about setups
                return

    def _finding(self, search: Search, goal: Goal) -> Finding:
        best = search.leader(goal)
        looked = search.scores.gain(goal, best) if best is not None else 0.0
        fresh = tuple(self._fresh[search.workload.name])
        return Finding(goal, search.workload, best, fresh, looked)

    # ---- one run -------------------------------------------------------------------------------

    def _length(self, runtime_s: float, ramp_s: float) -> Length:
        return Length(runtime_s, ramp_s, self._budget.left_s() - runtime_s - ramp_s)

    def _one(self, workload: Workload, setup: Setup, length: Length) -> Result:
        self._tell(f"{workload.name}: {label(setup)}")
        began_s = self._clock()
        result = self._measure(workload, setup, self._round, length)
        self._budget.spent(self._clock() - began_s - length.runtime_s - length.ramp_s)
        self.runs += 1
        if result.error and self._budget.left_s() <= 0 and length.patience_s < _HUNG_S:
            return Result({}, result.order)
        return result


def _finalists(search: Search) -> list[Setup]:
    """The defaults, and what looks best for each goal."""
    leaders = [search.leader(goal) for goal in search.workload.goals]
    others = dict.fromkeys(each for each in leaders if each is not None)
    return [DEFAULTS, *others] if others else []
