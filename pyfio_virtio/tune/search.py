# SPDX-License-Identifier: GPL-2.0-or-later
"""Decides which setups are tried next, from the results of those that were tried.

First each value of each axis is tried alone. Then the best values are combined, two to four of
them, and after each round of the race the worse half leaves. One run has too much noise for a
claim, so a search only chooses what is worth comparing. Pure; any thread may call.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pyfio_virtio.tune.goals import Goal
from pyfio_virtio.tune.setups import DEFAULTS, Axis, Setup

_MOST_CHANGES = 4
# A change is kept in the race only if it is worth this much, as a share.
_WORTH = 0.01


@dataclass(frozen=True)
class Workload:
    """What is compared with each other: the axes, and the goals that each run tells about."""

    name: str
    goals: tuple[Goal, ...]
    axes: tuple[Axis, ...]

    def most_runs(self) -> int:
        """About as many runs as the search makes, if nothing ends it earlier."""
        racing = 1 + _MOST_CHANGES * len(self.goals)
        return len(screen(self.axes)) + 2 * racing


class Scores:
    """The results of a search, in rounds. The defaults are in each of them."""

    def __init__(self) -> None:
        self._rounds: list[dict[Setup, Mapping[str, float]]] = []

    def begin(self) -> None:
        """A round begins."""
        self._rounds.append({})

    def add(self, setup: Setup, values: Mapping[str, float]) -> None:
        """A run of the present round. A run that failed has no values."""
        self._rounds[-1][setup] = values

    def known(self) -> set[Setup]:
        """The setups with results."""
        return {setup for each in self._rounds for setup, values in each.items() if values}

    def gain(self, goal: Goal, setup: Setup) -> float:
        """By how much the setup is better than the defaults, as a logarithm; -inf: not known."""
        sign = 1 if goal.better == "higher" else -1
        found = []
        for values in self._rounds:
            base = values.get(DEFAULTS, {}).get(goal.metric)
            own = values.get(setup, {}).get(goal.metric)
            if base and own:
                found.append(sign * math.log(own / base))
        return statistics.fmean(found) if found else -math.inf

    def rank(self, goal: Goal, setups: Sequence[Setup]) -> list[Setup]:
        """The setups with results, the best first. Each change has to be worth its mention."""
        known = [each for each in dict.fromkeys(setups) if self.gain(goal, each) > -math.inf]
        return sorted(known, key=lambda each: _WORTH * len(each) - self.gain(goal, each))


def screen(axes: Sequence[Axis]) -> list[Setup]:
    """The defaults, and each other value of each axis alone: first those of the first axes."""
    return [DEFAULTS, *(((axis.name, value),) for axis in axes for value in axis.values[1:])]


class Search:
    """The search for what is best at one workload."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.scores = Scores()
        self._racing: dict[Goal, list[Setup]] = {}

    def rounds(self) -> Iterator[list[Setup]]:
        """The setups of each round. The caller adds their results to the scores in between."""
        yield screen(self.workload.axes)
        self._racing = {goal: self._combined(goal) for goal in self.workload.goals}
        while any(len(each) > 1 for each in self._racing.values()):
            yield [DEFAULTS, *dict.fromkeys(s for each in self._racing.values() for s in each)]
            for goal, each in self._racing.items():
                self._racing[goal] = self.scores.rank(goal, each)[: math.ceil(len(each) / 2)]

    def leader(self, goal: Goal) -> Setup | None:
        """What looks best beside the defaults. If there was no time to look, it is the first
        setup that would have been tried. None if there is nothing to try.
        """
        others = sorted(self.scores.known() - {DEFAULTS})
        ranked = self.scores.rank(goal, self._racing.get(goal, ()))
        ranked += self.scores.rank(goal, others)
        return next(iter([*ranked, *screen(self.workload.axes)[1:]]), None)

    def _combined(self, goal: Goal) -> list[Setup]:
        """The best change alone, then with the second best, and so on."""
        axes = self.workload.axes
        each = [self.scores.rank(goal, screen([axis])[1:]) for axis in axes]
        best = self.scores.rank(goal, [ranked[0] for ranked in each if ranked])[:_MOST_CHANGES]
        useful = [setup for setup in best if self.scores.gain(goal, setup) > 0] or best[:1]
        return [self._joined(useful[:count]) for count in range(1, len(useful) + 1)]

    def _joined(self, setups: Sequence[Setup]) -> Setup:
        """All changes of these setups, in the order of the axes."""
        order = [axis.name for axis in self.workload.axes]
        changes = [change for setup in setups for change in setup]
        return tuple(sorted(changes, key=lambda change: order.index(change[0])))
