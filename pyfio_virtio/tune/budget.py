# SPDX-License-Identifier: GPL-2.0-or-later
"""The time that may be spent, and what fits into it.

Owns the arithmetic: how long runs may be, and whether one more fits. A run costs more than its
runtime, because fio and sometimes a back-end are started; how much is learned from the runs
themselves. It asks a clock and nothing else.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# What one run costs beyond its runtime, until a run has shown it.
_FIRST_GUESS_S = 0.5
_REMEMBERED = 12  # runs
# A run may cost more than the last ones, by this factor.
_CAUTION = 1.3
# The end of the command: judging, and writing files.
RESERVE_S = 0.3

# The share of the time that is left after the search: the usual one, and the most of it.
_COMPARISON = (0.55, 0.8)
# Runs of the search are short, because they are many and prove nothing.
_SEARCH_S = (0.1, 1.0)
# Runs of the comparison. The ramp lets wait=adaptive find its way.
_FINAL_S = (0.15, 2.0)
FINAL_RAMP_S = 0.15
_ROUNDS = (8, 30)  # so many if the time allows; with more time the runs are longer, then more
FEWEST_ROUNDS = 5  # with fewer, analysis says nothing


@dataclass(frozen=True)
class Final:
    """How the comparison is made."""

    rounds: int
    runtime_s: float
    ramp_s: float = FINAL_RAMP_S


class Budget:
    """A time from now on."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end_s = clock() + seconds - RESERVE_S
        self._costs: deque[float] = deque([_FIRST_GUESS_S], maxlen=_REMEMBERED)

    def left_s(self) -> float:
        return self._end_s - self._clock()

    def spent(self, cost_s: float) -> None:
        """A run took this long beyond the time that it measured."""
        self._costs.append(cost_s)

    def overhead_s(self) -> float:
        """What a run is expected to cost beyond its runtime. The slowest of the last runs does not
        count, because it may be the first one, or one that something else on the machine held up.
        """
        return statistics.fmean(sorted(self._costs)[:-1] or self._costs)

    def fits(self, measured_s: float, runs: int = 1, keep_s: float = 0.0) -> bool:
        """Whether so many runs end in time, and leave so much of it."""
        return runs * (measured_s + _CAUTION * self.overhead_s()) <= self.left_s() - keep_s

    def search_runtime_s(self, runs: int, keep_s: float) -> float:
        """How long each run of a search may be."""
        each = (self.left_s() - keep_s) / max(1, runs) - self.overhead_s()
        return _within(each, _SEARCH_S)

    def kept_s(self, setups: int) -> float:
        """What a search must leave for the comparison of so many setups."""
        left_s = self.left_s()
        least_s = min(_COMPARISON[1] * left_s, self._fewest_rounds_s(setups))
        return max(_COMPARISON[0] * left_s, least_s)

    def needed_s(self, setups: int) -> float:
        """The search and the fewest rounds in which so many setups can be compared take this."""
        return self._fewest_rounds_s(setups) / _COMPARISON[1] + RESERVE_S

    def _fewest_rounds_s(self, setups: int) -> float:
        each_s = _FINAL_S[0] + FINAL_RAMP_S + _CAUTION * self.overhead_s()
        return FEWEST_ROUNDS * setups * each_s

    def final(self, setups: int) -> Final:
        """The rounds in which so many setups are compared, and the length of their runs."""
        least, most = _FINAL_S
        fixed_s = FINAL_RAMP_S + self.overhead_s() * (1 + _CAUTION) / 2
        for rounds in range(_ROUNDS[0], FEWEST_ROUNDS - 1, -1):
            runtime_s = self.left_s() / (rounds * setups) - fixed_s
            if runtime_s > most:
                fitting = int(self.left_s() / (setups * (most + fixed_s)))
                return Final(min(_ROUNDS[1], fitting), most)
            if runtime_s >= least:
                return Final(rounds, round(runtime_s, 3))
        return Final(FEWEST_ROUNDS, least)


def _within(value: float, limits: tuple[float, float]) -> float:
    return round(max(limits[0], min(limits[1], value)), 3)
