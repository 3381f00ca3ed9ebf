# SPDX-License-Identifier: GPL-2.0-or-later
"""Ratios of runs, with intervals that hold for a whole family of comparisons at once.

This file owns the test behind every claim: whether one of several things is faster than another,
and by how much. All functions are pure functions of numpy arrays, so any thread may call them.
stats.py has the words of a comparison; findings.py and compare.py decide what is compared.

A report looks at many pairs and names the largest difference, so an interval for each pair alone
would be wrong too often. Here, one factor widens the intervals of all pairs until they cover
all the true ratios together in 95% of reports (max-type intervals; Westfall and Young 1993).
It follows from the largest studentised difference in 95% of cases where nothing differs. These
are found by resampling the runs' own noise in two ways: by exchanging runs within a round, and by
changing the sign of whole rounds. The larger percentile is taken, because the first way needs
ways that are equally noisy, and the second knows only 2**rounds cases. If runs resemble the
runs before them, the factor grows.

The centre of a pair is the trimmed mean of the logarithms of its ratios: from eight rounds on,
the outermost eighth at either end does not count, so that one disturbed run decides nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student  # type: ignore[import-untyped]

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
# With fewer rounds, nothing is said. Four pairs agree by chance in one case of eight.
FEWEST_ROUNDS = 5
RESAMPLES = 1000
SEED = 20240229  # fixed, so that the same data always give the same interval
_CELLS = 2_000_000  # of a resample's differences that are in memory at once
# How far the autocorrelation of n rounds is underestimated, times n (Kendall 1954).
_FEW_ROUNDS_BIAS = 3.0
# By how many of its standard errors it is raised; tuned with the simulations of bench/claims.py.
_DOUBT = 0.6


@dataclass(frozen=True)
class Shift:
    """The difference of two logarithms with its interval, from n rounds (or runs of each)."""

    centre: float
    low: float
    high: float
    n: int

    @property
    def reversed(self) -> Shift:
        """The first logarithm less the second."""
        return Shift(-self.centre, -self.high, -self.low, self.n)


NOTHING = Shift(math.nan, math.nan, math.nan, 0)


def all_pairs(
    tables: Sequence[Floats], orders: Sequence[Floats | None] = ()
) -> list[dict[tuple[int, int], Shift]]:
    """Every pair of columns of every table; the result has column j less column i at (i, j).

    A table has one row for each round and one column for each way, as logarithms. NaN is a run
    that is missing. The runs of a round must have been made together. If an order says when each
    run was made, a steady drift of the machine is removed, because it would favour the ways that
    are early in each round.
    """
    known = [*orders, *[None] * (len(tables) - len(orders))]
    blocks = [_Block.of(_steadied(t, o)) for t, o in zip(tables, known, strict=True)]
    usable = [block for block in blocks if block.groups]
    apart = [each for block in usable for each in block.differences()]
    factor = _factor(usable, _autocorrelation(apart))
    return [block.shifts(factor) for block in blocks]


def _steadied(table: Floats, order: Floats | None) -> Floats:
    """The table without the straight line that the speed of whole rounds follows in time."""
    usable = np.isfinite(table).sum(axis=1) >= 2
    if order is None or usable.sum() < FEWEST_ROUNDS:
        return table
    at = np.where(np.isfinite(table), order, np.nan)
    level = _without_columns(table)
    when, speed = np.nanmean(at[usable], axis=1), np.nanmean(level[usable], axis=1)
    spread = when - when.mean()
    if not spread @ spread:
        return table
    slope = (spread @ speed) / (spread @ spread)
    middle = np.full(len(table), np.nan)
    middle[usable] = when
    return np.where(usable[:, None], table - slope * (at - middle[:, None]), table)


def _without_columns(table: Floats) -> Floats:
    """The table with the centre of each column subtracted."""
    rest = table.copy()
    for column in range(rest.shape[1]):
        known = np.isfinite(rest[:, column])
        if known.sum() >= 2:
            rest[known, column] -= centre(rest[known, column])[0]
    return rest


def two_samples(pairs: Sequence[tuple[Floats, Floats]]) -> list[Shift]:
    """Each second series less its first one; the runs are in the order in which they took place."""
    series = [_Series(finite(first), finite(second)) for first, second in pairs]
    enough = [each for each in series if each.n >= FEWEST_ROUNDS]
    halves = [half[None, :] for each in enough for half in (each.first, each.second)]
    factor = _factor(enough, _autocorrelation(halves))
    return [each.shift(factor) if each in enough else each.bare() for each in series]


def finite(values: ArrayLike) -> Floats:
    """The values that are numbers, in their order."""
    array: Floats = np.asarray(values, np.float64).ravel()
    known: Floats = array[np.isfinite(array)]
    return known


def centre(values: Floats) -> tuple[Floats, Floats]:
    """The trimmed mean along the last axis, and its standard error (Tukey and McLaughlin 1963)."""
    n = values.shape[-1]
    cut = n // 8
    kept = n - 2 * cut
    if not cut:
        return values.mean(-1), values.std(-1, ddof=1) / math.sqrt(n)
    ordered = np.sort(values, axis=-1)
    middle = ordered[..., cut : n - cut].mean(-1)
    ordered[..., :cut] = ordered[..., cut : cut + 1]
    ordered[..., n - cut :] = ordered[..., n - cut - 1 : n - cut]
    spread = ordered.std(-1, ddof=1) * math.sqrt((n - 1) / (kept * (kept - 1)))
    return middle, spread


# ---- rounds: pairs that were measured in turns -------------------------------------------


@dataclass(frozen=True, eq=False)
class _Block:
    """One table, and its pairs of columns in groups that share the rounds that have both."""

    table: Floats
    groups: tuple[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]], ...]
    few: tuple[tuple[int, int], ...]  # pairs with too few rounds

    @classmethod
    def of(cls, table: Floats) -> _Block:
        known = np.isfinite(table)
        groups: dict[bytes, list[tuple[int, int]]] = {}
        few = []
        for first, second in itertools.combinations(range(table.shape[1]), 2):
            both = known[:, first] & known[:, second]
            if both.sum() >= FEWEST_ROUNDS:
                groups.setdefault(both.tobytes(), []).append((first, second))
            else:
                few.append((first, second))
        found = tuple(cls._group(mask, pairs) for mask, pairs in groups.items())
        return cls(table, found, tuple(few))

    @staticmethod
    def _group(mask: bytes, pairs: Sequence[tuple[int, int]]) -> tuple[Any, Any, Any]:
        first, second = np.array(pairs).T
        return np.flatnonzero(np.frombuffer(mask, bool)), first, second

    def differences(self, tables: Floats | None = None) -> Iterator[Floats]:
        """For each group, the differences of its pairs: (..., pairs, rounds)."""
        values = self.table if tables is None else tables
        for rounds, first, second in self.groups:
            some = values[..., rounds, :]
            yield (some[..., second] - some[..., first]).swapaxes(-1, -2)

    def shifts(self, factor: float) -> dict[tuple[int, int], Shift]:
        found = {pair: self._bare(*pair) for pair in self.few}
        for (rounds, first, second), values in zip(self.groups, self.differences(), strict=True):
            middle, error = self._centre(values)
            for place, pair in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
                half = factor * float(error[place])
                at = float(middle[place])
                found[pair] = Shift(at, at - half, at + half, len(rounds))
        return found

    def _bare(self, first: int, second: int) -> Shift:
        """The difference without an interval, because there are too few rounds for one."""
        apart = finite(self.table[:, second] - self.table[:, first])
        if not apart.size:
            return NOTHING
        return Shift(float(apart.mean()), -math.inf, math.inf, apart.size)

    @staticmethod
    def _centre(values: Floats) -> tuple[Floats, Floats]:
        """Adds the typical error of all pairs to each, because a few rounds may agree by luck."""
        middle, error = centre(values)
        return middle, (error + np.median(error, axis=-1, keepdims=True)) / 2

    def freedom(self) -> int:
        return min(_freedom(len(rounds)) for rounds, _, _ in self.groups)

    def draws(self, random: np.random.Generator) -> tuple[Floats, Floats]:
        """The largest studentised difference of each resample, in both ways of resampling."""
        noise = self._noise()
        cells = sum(len(rounds) * len(first) for rounds, first, _ in self.groups)
        found: tuple[list[Floats], list[Floats]] = ([], [])
        for count in _portions(max(1, _CELLS // cells)):
            signs = random.choice([-1.0, 1.0], (count, len(noise), 1))
            found[0].append(self._largest(_exchange(noise, count, random)))
            found[1].append(self._largest(noise * signs))
        return np.concatenate(found[0]), np.concatenate(found[1])

    def _noise(self) -> Floats:
        """What is left of the table without the speed of each round and of each way."""
        known = np.isfinite(self.table)
        total = np.where(known, self.table, 0.0).sum(axis=1, keepdims=True)
        return _without_columns(self.table - total / np.maximum(known.sum(1, keepdims=True), 1))

    def _largest(self, tables: Floats) -> Floats:
        each = [_studentised(*self._centre(d)).max(-1) for d in self.differences(tables)]
        largest: Floats = np.max(each, axis=0)
        return largest


def _exchange(noise: Floats, count: int, random: np.random.Generator) -> Floats:
    """The noise with the known entries of each round in a random order."""
    known = np.isfinite(noise)
    keys = np.where(known, random.random((count, *noise.shape)), np.inf)
    mixed = np.take_along_axis(np.broadcast_to(noise, keys.shape), keys.argsort(-1), -1)
    places = np.broadcast_to((~known).argsort(-1, kind="stable"), keys.shape)
    result = np.empty_like(mixed)
    np.put_along_axis(result, places, mixed, -1)
    return result


# ---- two series that were measured at different times --------------------------------------


@dataclass(frozen=True, eq=False)
class _Series:
    first: Floats
    second: Floats

    @property
    def n(self) -> int:
        return min(len(self.first), len(self.second))

    def bare(self) -> Shift:
        """The difference without an interval, because there are too few runs for one."""
        if not self.n:
            return NOTHING
        return Shift(float(self.second.mean() - self.first.mean()), -math.inf, math.inf, self.n)

    def shift(self, factor: float) -> Shift:
        middle, error = self._centre(self.first, self.second)
        half = factor * float(error)
        return Shift(float(middle), float(middle) - half, float(middle) + half, self.n)

    @staticmethod
    def _centre(first: Floats, second: Floats) -> tuple[Floats, Floats]:
        (low, low_error), (high, high_error) = centre(first), centre(second)
        return high - low, np.hypot(low_error, high_error)

    def freedom(self) -> int:
        return _freedom(self.n)

    def draws(self, random: np.random.Generator) -> tuple[Floats, Floats]:
        noise = np.concatenate(
            [self.first - centre(self.first)[0], self.second - centre(self.second)[0]]
        )
        shape = (RESAMPLES, len(noise))
        mixed = random.permuted(np.broadcast_to(noise, shape), axis=1)
        turned = noise * random.choice([-1.0, 1.0], shape)
        return self._largest(mixed), self._largest(turned)

    def _largest(self, drawn: Floats) -> Floats:
        split = len(self.first)
        return _studentised(*self._centre(drawn[:, :split], drawn[:, split:]))


# ---- the factor ------------------------------------------------------------------------------


def _factor(parts: Sequence[_Block] | Sequence[_Series], resemblance: float) -> float:
    """How many standard errors the intervals of all parts reach from their centres."""
    random = np.random.default_rng(SEED)
    mixed, turned = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for part in parts:
        first, second = part.draws(random)
        mixed, turned = np.maximum(mixed, first), np.maximum(turned, second)
    found = [float(np.quantile(each, CONFIDENCE, method="higher")) for each in (mixed, turned)]
    freedom = min((part.freedom() for part in parts), default=1)
    # Few rounds have few resamples, so the factor is never below Student's t of a single pair.
    found.append(float(student.ppf((1 + CONFIDENCE) / 2, freedom)))
    return max(found) * math.sqrt((1 + resemblance) / (1 - resemblance))


def _autocorrelation(series: Sequence[Floats]) -> float:
    """How much each run resembles the one before it, between 0 and 0.95.

    All rows of all series together. What few rounds show is too low, because their own mean is
    subtracted (Kendall 1954), and is uncertain, so the value is raised for both reasons.
    """
    alike = power = expected = 0.0
    freedom, lengths = 0, []
    for rows in series:
        rest = rows - rows.mean(-1, keepdims=True)
        own = float((rest**2).sum())
        alike += float((rest[:, 1:] * rest[:, :-1]).sum())
        power += own
        expected += own / rows.shape[1]
        freedom += (rows.shape[1] - 1) * _independent(len(rows))
        lengths.append(rows.shape[1])
    if not power:
        return 0.0
    raised = (alike + expected) / power + _DOUBT / math.sqrt(freedom)
    return min(max(raised / max(1 - _FEW_ROUNDS_BIAS / float(np.mean(lengths)), 0.3), 0.0), 0.95)


def _independent(pairs: int) -> int:
    """The number of ways behind these pairs, less one."""
    return max(1, round((math.sqrt(8 * pairs + 1) - 1) / 2))


def _freedom(n: int) -> int:
    return n - 2 * (n // 8) - 1


def _studentised(middle: Floats, error: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.abs(middle) / error, nan=0.0, posinf=np.inf)


def _portions(size: int) -> Iterator[int]:
    for done in range(0, RESAMPLES, size):
        yield min(size, RESAMPLES - done)
