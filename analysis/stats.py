# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, ratios and verdicts, each with the interval that belongs to it.

This file owns the statistics of runs: how certain a median is, what a ratio shows in words,
and whether a series is steady. All functions are pure functions of numpy arrays, so any thread
may call them. They never read files, draw, or judge a machine (checks.py does). family.py has
the intervals of ratios.

The intervals of a median use only ranks and assume no normal distribution, because run times are
skewed and often bimodal. If there are too few runs for the confidence that was asked for, the
interval says which confidence it has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from pyfio_virtio.analysis import family
from pyfio_virtio.analysis.family import CONFIDENCE, FEWEST_ROUNDS, SEED, Floats, Shift, finite

Better = Literal["higher", "lower", ""]
Verdict = Literal["better", "worse", "higher", "lower", "cannot tell"]

# With fewer runs, ranks give an exact confidence. From this number on, a bootstrap is used,
# because it covers too little only if there are few runs.
FEW_RUNS = 20
# Advice about more rounds is given only up to this multiple of the rounds that were made.
FEASIBLE = 3
# And only if they would show a difference of this share.
ADVISED = 0.02
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """The bounds of the true value, with the confidence that this method has."""

    low: float
    high: float
    confidence: float
    method: str

    @property
    def label(self) -> str:
        """The text for a caption, such as "94% order statistics"."""
        return f"{math.floor(self.confidence * 100 + 1e-9)}% {self.method}"


@dataclass(frozen=True)
class Estimate:
    """A value, its interval, and the number of runs (or pairs) behind it."""

    value: float
    interval: Interval
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval's width divided by the value."""
        width = self.interval.high - self.interval.low
        return math.inf if self.value == 0 else abs(width / 2 / self.value)


# ---- the median of runs ------------------------------------------------------


@cache
def order_ranks(n: int, confidence: float = CONFIDENCE) -> tuple[int, float]:
    """The rank from either end that bounds a median of n, and its true confidence.

    The median is below the k-th smallest of n values only if fewer than k values are below the
    median. That number is binomially distributed, whatever the distribution of the values is.
    The result is the narrowest pair that reaches the confidence. If none does, it is the pair of
    extremes, with their lower confidence.
    """
    best = (1, 1 - 2 * 0.5**n)
    tail = 0.0
    for rank in range(1, n // 2 + 1):
        tail += math.comb(n, rank - 1) * 0.5**n
        if 1 - 2 * tail >= confidence:
            best = (rank, 1 - 2 * tail)
    return best


def order_bounds(samples: Floats, confidence: float) -> tuple[Floats, Floats, float]:
    """Order-statistic bounds of the median along the last axis."""
    rank, true_confidence = order_ranks(samples.shape[-1], confidence)
    ordered = np.sort(samples, axis=-1)
    return ordered[..., rank - 1], ordered[..., -rank], true_confidence


def bootstrap_bounds(samples: Floats, confidence: float) -> tuple[Floats, Floats, float]:
    """Percentile-bootstrap bounds of the median along the last axis.

    If the data and the indices of a resample are sorted, the resample is sorted too. So its
    median takes two look-ups, for any number of series at once.
    """
    n = samples.shape[-1]
    picks = np.sort(np.random.default_rng(SEED).integers(0, n, (RESAMPLES, n)), axis=1)
    ordered = np.sort(samples, axis=-1)
    medians = ordered[..., picks[:, (n - 1) // 2]] + ordered[..., picks[:, n // 2]]
    tail = 50 * (1 - confidence)
    low, high = np.percentile(medians / 2, [tail, 100 - tail], axis=-1)
    return low, high, confidence


def median_bounds(samples: Floats, confidence: float = CONFIDENCE) -> tuple[Floats, Floats, float]:
    """Bounds of the median along the last axis, by the method that suits the number of runs."""
    few = samples.shape[-1] < FEW_RUNS
    return (order_bounds if few else bootstrap_bounds)(samples, confidence)


def median_confidence(runs: int, confidence: float = CONFIDENCE) -> float:
    """The real confidence of the bounds of the median of so many runs."""
    if not runs:
        return math.nan
    return order_ranks(int(runs), confidence)[1] if runs < FEW_RUNS else confidence


def median(values: ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """The median of runs and its interval."""
    runs = finite(values)
    if runs.size == 0:
        return Estimate(math.nan, Interval(math.nan, math.nan, 0.0, "no runs"), 0)
    low, high, reached = median_bounds(runs, confidence)
    method = "order statistics" if runs.size < FEW_RUNS else "bootstrap"
    return Estimate(
        float(np.median(runs)), Interval(float(low), float(high), reached, method), runs.size
    )


# ---- ratios --------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """The effect of a change: the ratio other / base, and what it shows.

    better says which direction of the metric is an improvement, and is empty if neither is.
    """

    ratio: Estimate
    paired: bool
    better: Better = "higher"

    @classmethod
    def of(cls, shift: Shift, paired: bool, better: Better = "higher") -> Comparison:
        """Makes a comparison from a difference of logarithms."""
        low, high = _exp(shift.low), _exp(shift.high)
        interval = Interval(low, high, CONFIDENCE, "all comparisons together")
        return cls(Estimate(_exp(shift.centre), interval, shift.n), paired, better)

    @property
    def is_enough(self) -> bool:
        """Whether there are enough rounds to say anything."""
        return self.ratio.n >= FEWEST_ROUNDS

    @property
    def differs(self) -> bool:
        """Whether a difference was shown."""
        interval = self.ratio.interval
        return self.is_enough and not interval.low <= 1 <= interval.high

    @property
    def verdict(self) -> Verdict:
        """What was shown of other, in comparison with base."""
        if not self.differs:
            return "cannot tell"
        way: Verdict = "higher" if self.ratio.value > 1 else "lower"
        if not self.better:
            return way
        return "better" if way == self.better else "worse"

    def surely_worse(self, share: float) -> bool:
        """Whether other was shown to be worse by more than this share of base."""
        interval = self.ratio.interval
        beyond = interval.high < 1 - share if self.better == "higher" else interval.low > 1 + share
        return self.is_enough and bool(self.better) and beyond

    def surely_within(self, share: float) -> bool:
        """Whether other was shown not to be worse by more than this share of base."""
        interval = self.ratio.interval
        inside = interval.low > 1 - share if self.better == "higher" else interval.high < 1 + share
        return self.is_enough and bool(self.better) and inside

    def more_rounds(self, share: float) -> int:
        """About how many more rounds would narrow the interval to this share on either side.

        The width of an interval falls with the square root of the number of rounds.
        """
        interval = self.ratio.interval
        if not 0 < interval.low <= interval.high < math.inf:
            return 0  # no number of rounds can be foreseen
        half = math.log(interval.high / interval.low) / 2
        return max(0, math.ceil(self.ratio.n * (half / math.log1p(share)) ** 2) - self.ratio.n)

    def rounds_to_judge(self, share: float) -> int | None:
        """About how many rounds settle whether other is worse by more than this share of base.

        None if no feasible number does: the interval ends too close to the limit.
        """
        if not self.is_enough:
            return FEWEST_ROUNDS
        interval = self.ratio.interval
        if not 0 < interval.low <= interval.high < math.inf:
            return None
        limit = math.log1p(-share if self.better == "higher" else share)
        margin = abs(math.log(self.ratio.value) - limit)
        half = math.log(interval.high / interval.low) / 2
        wanted = self.ratio.n * (half / margin) ** 2 if margin else math.inf
        return math.ceil(wanted) if wanted <= (1 + FEASIBLE) * self.ratio.n else None

    def sentence(self, share: float | None = ADVISED) -> str:
        """The verdict in words, such as "12.3% lower (worse)".

        More rounds are advised if they would show a difference of this share.
        """
        n = self.ratio.n
        if not self.is_enough:
            few = f"{self._rounds(n)} {'is' if n == 1 else 'are'} too few"
            return f"cannot tell: {few}, {FEWEST_ROUNDS} are needed"
        if self.differs:
            judged = f" ({self.verdict})" if self.better else ""
            return f"{times(self.ratio.value)}{judged}"
        open_question = f"no difference shown; {self.rest()}"
        more = self.more_rounds(share) if share else 0
        if not 0 < more <= FEASIBLE * n:
            return open_question
        return f"{open_question}; {self._rounds(more, 'more ')} would show {share:.0%}"

    def _rounds(self, count: int, more: str = "") -> str:
        noun = "round" if self.paired else "run"
        return f"{count} {more}{noun}{'s' * (count != 1)}{'' if self.paired else ' of each'}"

    def rest(self) -> str:
        """How large a difference may be that was not shown."""
        interval = self.ratio.interval
        factor = max(interval.high, 1 / interval.low if interval.low > 0 else math.inf)
        if factor < 2:
            return f"any is below {percent(self._reach())}"
        size = f"a factor of {factor:.3g}" if factor < 999 else "a factor of 1,000 or more"
        return f"the runs are too noisy to rule out {size}"

    def _reach(self) -> float:
        """The largest difference that the interval allows, as a share."""
        interval = self.ratio.interval
        return max(abs(interval.low - 1), abs(interval.high - 1), 0.001)


def times(ratio: float) -> str:
    """A ratio as a reader would say it: "12.3% higher", "25.1 times as high"."""
    if ratio >= 2:
        return f"{ratio:,.0f} times as high" if ratio >= 100 else f"{ratio:.3g} times as high"
    if 0 < ratio < 0.01:
        # As many digits as it takes to be less than 100%.
        return f"{100 * (1 - ratio):.{math.ceil(-math.log10(ratio)) - 2}f}% lower"
    return f"{percent(abs(ratio - 1))} {'higher' if ratio >= 1 else 'lower'}"


def percent(share: float) -> str:
    """A share with three digits at most, and never as 1e+02%."""
    if 0 < share < 0.0005:
        return "less than 0.05%"
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.1f}%"


def compare_pairs(base: ArrayLike, other: ArrayLike, better: Better = "higher") -> Comparison:
    """Compare pairs that were measured in turn, base[i] beside other[i].

    The two runs of a pair took place close together, so a change of the machine's speed affects
    both of them, and their ratio does not contain it.
    """
    table = np.column_stack([logs(base), logs(other)])
    return Comparison.of(family.all_pairs([table])[0][0, 1], True, better)


def logs(values: ArrayLike) -> Floats:
    """Logarithms; NaN for what has none."""
    array = np.asarray(values, np.float64).ravel()
    usable = np.isfinite(array) & (array > 0)
    return np.log(np.where(usable, array, np.nan))


def _exp(value: float) -> float:
    return math.inf if value >= 700 else math.exp(value)


# ---- a series in time ------------------------------------------------------------


@dataclass(frozen=True)
class Steadiness:
    """SNIA's steady state: the last five rounds' range and slope, as shares of their mean."""

    spread: float
    slope: float
    rounds: int

    @property
    def is_steady(self) -> bool:
        """Whether the range is below 20% and the fitted line's rise below 10%, over five rounds."""
        return self.rounds >= 5 and self.spread < 0.20 and self.slope < 0.10


def steadiness(values: ArrayLike, rounds: int = 5) -> Steadiness:
    """How steady the last rounds of a series are (SNIA's performance test specification)."""
    window = finite(values)[-rounds:]
    if window.size < 2 or window.mean() == 0:
        return Steadiness(math.nan, math.nan, int(window.size))
    step = np.polyfit(np.arange(window.size), window, 1)[0]
    mean = window.mean()
    return Steadiness(
        float(np.ptp(window) / mean), float(abs(step) * (window.size - 1) / mean), int(window.size)
    )


def autocorrelation(values: ArrayLike) -> float:
    """How much each value resembles the one before it: 0 for independent runs."""
    series = finite(values)
    centred = series - series.mean() if series.size else series
    power = float(centred @ centred)
    if series.size < 3 or power == 0:
        return 0.0
    return float(centred[1:] @ centred[:-1]) / power
