# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, ratios and verdicts, each with the interval that belongs to it.

This file owns the statistics of runs: how certain a median is, whether two series differ
and by how much, and whether a series is steady. All functions are pure functions of numpy
arrays, so any thread may call them. They never read files, draw, or judge a machine (checks.py
does).

The methods use only ranks and assume no normal distribution, because run times are skewed and
often bimodal. If there are too few runs for the confidence that was asked for, the interval
says which confidence it has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Verdict = Literal["faster", "slower", "cannot tell"]

CONFIDENCE = 0.95
# With fewer runs, ranks give an exact confidence. From this number on, a bootstrap is used,
# because it covers too little only if there are few runs.
FEW_RUNS = 20
# Four pairs agree by chance in one case of eight, so a verdict needs at least five pairs.
FEWEST_PAIRS = 5
RESAMPLES = 2000
SEED = 20240229  # fixed, so that the same data always give the same interval


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
    runs = _finite(values)
    if runs.size == 0:
        return Estimate(math.nan, Interval(math.nan, math.nan, 0.0, "no runs"), 0)
    low, high, reached = median_bounds(runs, confidence)
    method = "order statistics" if runs.size < FEW_RUNS else "bootstrap"
    return Estimate(
        float(np.median(runs)), Interval(float(low), float(high), reached, method), runs.size
    )


# ---- ratios --------------------------------------------------------------------


@cache
def signed_rank(n: int, confidence: float = CONFIDENCE) -> tuple[int, float]:
    """The rank, from either end, of the Walsh average that bounds the centre of n pairs.

    If two series do not differ, exchanging the values of a pair changes nothing. So all 2**n sign
    patterns of the ranks 1..n are equally likely, and their sums are counted exactly.
    """
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]
    return _narrowest(ways / 2.0**n, confidence)


@cache
def rank_sum(n: int, m: int, confidence: float = CONFIDENCE) -> tuple[int, float]:
    """The same rank for the n * m differences of two series that were not interleaved."""
    # ways[i][u]: the number of orders of i values of one series and `others` values of the other
    # with u pairs in the wrong order (Mann and Whitney's recurrence).
    ways = np.zeros((n + 1, n * m + 1))
    ways[:, 0] = 1
    for others in range(1, m + 1):
        for own in range(1, n + 1):
            shifted = np.zeros(n * m + 1)
            shifted[others:] = ways[own - 1, : n * m + 1 - others]
            ways[own] = ways[own] + shifted
    return _narrowest(ways[n] / ways[n].sum(), confidence)


def _narrowest(probability: Floats, confidence: float) -> tuple[int, float]:
    """The largest rank whose two-sided confidence is at least `confidence`."""
    reached = 1 - 2 * np.cumsum(probability)
    enough = np.flatnonzero(reached >= confidence)
    rank = int(enough[-1]) if enough.size else 0
    return rank + 1, float(reached[rank])


def paired_bounds(logs: Floats, confidence: float) -> tuple[Floats, Floats, Floats, float]:
    """Centre and bounds of paired differences along the last axis (Hodges, Lehmann)."""
    n = logs.shape[-1]
    first, second = np.triu_indices(n)
    averages = np.sort((logs[..., first] + logs[..., second]) / 2, axis=-1)
    rank, reached = signed_rank(n, confidence)
    return np.median(averages, axis=-1), averages[..., rank - 1], averages[..., -rank], reached


def unpaired_bounds(
    base: Floats, other: Floats, confidence: float
) -> tuple[Floats, Floats, Floats, float]:
    """Centre and bounds of the shift from base to other along the last axis."""
    shifts = other[..., :, None] - base[..., None, :]
    shifts = np.sort(shifts.reshape(*shifts.shape[:-2], -1), axis=-1)
    rank, reached = rank_sum(base.shape[-1], other.shape[-1], confidence)
    return np.median(shifts, axis=-1), shifts[..., rank - 1], shifts[..., -rank], reached


@dataclass(frozen=True)
class Comparison:
    """The effect of a change: the ratio other / base, and the verdict on it."""

    ratio: Estimate
    verdict: Verdict
    paired: bool

    @property
    def percent(self) -> float:
        """The difference in percent of the base, signed as measured."""
        return 100 * (self.ratio.value - 1)

    def more_pairs(self, resolution: float = 0.02) -> int:
        """How many more pairs would show a difference of this share (0.02: 2%).

        The width of an interval falls with the square root of the number of pairs.
        """
        if not math.isfinite(self.ratio.half_width) or self.ratio.n == 0:
            return FEWEST_PAIRS
        needed = math.ceil(self.ratio.n * (self._log_half_width() / math.log1p(resolution)) ** 2)
        return max(needed, FEWEST_PAIRS) - self.ratio.n if needed > self.ratio.n else 0

    def exceeds(self, share: float) -> bool:
        """Whether other is surely worse than base, by more than this share."""
        return self.verdict == "slower" and abs(math.log(self.ratio.value)) > -math.log1p(-share)

    def sentence(self, resolution: float = 0.02) -> str:
        """The verdict in words; if it is open, also how many pairs or runs are missing."""
        if self.verdict != "cannot tell":
            return f"{self.verdict} by {abs(self.percent):.1f}%"
        unit = "pairs" if self.paired else "runs of each"
        if self.ratio.n < FEWEST_PAIRS:
            return f"cannot tell: {self.ratio.n} {unit} are too few, {FEWEST_PAIRS} are needed"
        more = self.more_pairs(resolution)
        settle = f"{more} more {unit} would show a difference of {resolution:.0%}"
        settled = f"any difference is below {math.expm1(self._reach()):.1%}"
        return f"cannot tell: {settle if more else settled}"

    def _log_half_width(self) -> float:
        return math.log(self.ratio.interval.high / self.ratio.interval.low) / 2

    def _reach(self) -> float:
        interval = self.ratio.interval
        return max(abs(math.log(interval.low)), abs(math.log(interval.high)))


def compare_pairs(base: ArrayLike, other: ArrayLike, higher_is_better: bool = True) -> Comparison:
    """Compare pairs that were measured in turn, base[i] beside other[i].

    The two runs of a pair took place close together, so a change of the machine's speed affects
    both of them, and their ratio does not contain it.
    """
    first, second = np.asarray(base, float), np.asarray(other, float)
    good = (first > 0) & (second > 0)
    logs = np.log(second[good] / first[good])
    if logs.size == 0:
        return Comparison(_no_ratio(), "cannot tell", True)
    centre, low, high, reached = paired_bounds(logs, CONFIDENCE)
    ratio = _ratio(centre, low, high, reached, "signed ranks", logs.size)
    return Comparison(ratio, _verdict(ratio, higher_is_better), True)


def compare_series(base: ArrayLike, other: ArrayLike, higher_is_better: bool = True) -> Comparison:
    """Compare two series that were measured at different times, such as two sweeps."""
    first, second = _positive(base), _positive(other)
    if first.size == 0 or second.size == 0:
        return Comparison(_no_ratio(), "cannot tell", False)
    centre, low, high, reached = unpaired_bounds(np.log(first), np.log(second), CONFIDENCE)
    ratio = _ratio(centre, low, high, reached, "rank sums", min(first.size, second.size))
    return Comparison(ratio, _verdict(ratio, higher_is_better), False)


def _verdict(ratio: Estimate, higher_is_better: bool) -> Verdict:
    if ratio.n < FEWEST_PAIRS or ratio.interval.low <= 1 <= ratio.interval.high:
        return "cannot tell"
    return "faster" if (ratio.value > 1) == higher_is_better else "slower"


def _ratio(
    centre: Floats, low: Floats, high: Floats, confidence: float, method: str, n: int
) -> Estimate:
    interval = Interval(float(np.exp(low)), float(np.exp(high)), confidence, method)
    return Estimate(float(np.exp(centre)), interval, n)


def _no_ratio() -> Estimate:
    return Estimate(math.nan, Interval(math.nan, math.nan, 0.0, "no pairs"), 0)


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
    window = _finite(values)[-rounds:]
    if window.size < 2 or window.mean() == 0:
        return Steadiness(math.nan, math.nan, int(window.size))
    step = np.polyfit(np.arange(window.size), window, 1)[0]
    mean = window.mean()
    return Steadiness(
        float(np.ptp(window) / mean), float(abs(step) * (window.size - 1) / mean), int(window.size)
    )


def autocorrelation(values: ArrayLike) -> float:
    """How much each value resembles the one before it: 0 for independent runs."""
    series = _finite(values)
    centred = series - series.mean() if series.size else series
    power = float(centred @ centred)
    if series.size < 3 or power == 0:
        return 0.0
    return float(centred[1:] @ centred[:-1]) / power


def _finite(values: ArrayLike) -> Floats:
    array: Floats = np.asarray(values, np.float64).ravel()
    finite: Floats = array[np.isfinite(array)]
    return finite


def _positive(values: ArrayLike) -> Floats:
    positive: Floats = _finite(values)
    return positive[positive > 0]
