# SPDX-License-Identifier: GPL-2.0-or-later
"""What the comparison at the end of `tune` shows, for each goal: the numbers, and a sentence.

This file owns the verdict on what was tuned. All functions are pure, so any thread may call them.
The intervals are family.py's, and hold for all goals together. Only runs that were not used to
choose what is compared may be given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyfio_virtio import efficiency
from pyfio_virtio.analysis import family, stats
from pyfio_virtio.analysis.family import Shift
from pyfio_virtio.analysis.metrics import metric
from pyfio_virtio.analysis.stats import Better, Comparison, Estimate
from pyfio_virtio.analysis.style import capital
from pyfio_virtio.analysis.verdict import digits

# fio keeps latencies in bins of at most 1/64 of their value, so a ratio of two percentiles may be
# wrong by as much.
_BIN = 1 / 64
_WORDS = {"p50_ns": "p50", "iops": "IOPS", efficiency.BOTH: "IOPS per core"}


@dataclass(frozen=True)
class Pair:
    """The defaults and the setup that looked best for a goal, in the rounds of the comparison."""

    goal: str
    metric: str
    better: Better
    leader: str
    base: Sequence[float]  # of each round; NaN: it is missing
    other: Sequence[float]
    orders: Sequence[tuple[float, float]]  # when both runs of a round were made
    tails: tuple[Sequence[float], Sequence[float]] = ((), ())  # p99 of both, which is only shown
    failures: Sequence[str] = ()  # what is said of the rounds in which one of them failed


@dataclass(frozen=True)
class Judged:
    """What was shown of a pair."""

    pair: Pair
    comparison: Comparison
    base: Estimate
    other: Estimate

    @property
    def is_better(self) -> bool:
        """Whether the leader was shown to be better than the defaults."""
        return self.comparison.verdict == "better"

    @property
    def best(self) -> str:
        """What to use: the defaults, unless something was shown to be better."""
        return self.pair.leader if self.is_better else "the defaults"

    @property
    def reached(self) -> Estimate:
        """What that reached."""
        return self.other if self.is_better else self.base

    @property
    def value(self) -> str:
        """The median of what it reached, and its interval: 0.69 µs (0.67 µs to 0.71 µs)."""
        estimate, show = self.reached, metric(self.pair.metric).show
        if math.isnan(estimate.value):
            return "unknown"
        low, high = (show(each) for each in (estimate.interval.low, estimate.interval.high))
        return f"{show(estimate.value)} ({low} to {high})"

    @property
    def tail(self) -> str:
        """The median of its p99; "" if that is not shown."""
        estimate = stats.median(self.pair.tails[self.is_better])
        return "" if math.isnan(estimate.value) else metric("p99_ns").show(estimate.value)

    @property
    def ratio(self) -> str:
        """The leader's value divided by that of the defaults: 0.45 (0.43 to 0.48)."""
        found = self.comparison.ratio
        if math.isnan(found.value):
            return "unknown"
        if not self.comparison.is_enough:
            return digits(found.value)
        return (
            f"{digits(found.value)} ({digits(found.interval.low)} to {digits(found.interval.high)})"
        )

    @property
    def shown(self) -> str:
        """The verdict in a word or two."""
        if not self.comparison.differs:
            return "cannot tell"
        return "better" if self.is_better else "the defaults are better"

    @property
    def sentence(self) -> str:
        """What was found for the goal, and which runs failed."""
        return " ".join([self._found(), *(f"{each}." for each in self.pair.failures)])

    def _found(self) -> str:
        goal, what = capital(self.pair.goal), _WORDS[self.pair.metric]
        if self.is_better:
            show = metric(self.pair.metric).show
            return (
                f"{goal}: {self.pair.leader} is best, with {what} of {self.value}, {self.ratio} "
                f"times as much as the defaults, which have {show(self.base.value)}."
                + (f" Its p99 is {self.tail}." if self.tail else "")
            )
        kept = "the defaults are kept"
        if not math.isnan(self.base.value):
            kept += f", with {what} of {self.value}"
        if math.isnan(self.comparison.ratio.value):
            return f"{goal}: {self.pair.leader} was not compared with the defaults; {kept}."
        if self.comparison.differs:
            return f"{goal}: {kept}; {self.pair.leader} has {self.ratio} times as much."
        doubt = self.comparison.sentence(None).removeprefix("cannot tell: ")
        return (
            f"{goal}: cannot tell whether {self.pair.leader} is better, with {self.ratio} times as "
            f"much as the defaults ({doubt}); {kept}."
        )


def judge(pairs: Sequence[Pair]) -> list[Judged]:
    """What was shown of each pair. One confidence holds for all of them together."""
    tables = [np.column_stack([stats.logs(each.base), stats.logs(each.other)]) for each in pairs]
    orders = [np.array(each.orders, float).reshape(-1, 2) for each in pairs]
    found = family.all_pairs(tables, orders)
    return [_judged(pair, shifts[0, 1]) for pair, shifts in zip(pairs, found, strict=True)]


def _judged(pair: Pair, shift: Shift) -> Judged:
    blur = math.log1p(_BIN) if pair.metric == "p50_ns" else 0.0
    wide = Shift(shift.centre, shift.low - blur, shift.high + blur, shift.n)
    comparison = Comparison.of(wide, True, pair.better)
    return Judged(pair, comparison, stats.median(pair.base), stats.median(pair.other))
