# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares two sets of runs point by point, and judges whether the second one is worse.

This file owns the pairing of points between sweeps and the gate, and it refuses to compare runs of
different machines. All functions are pure functions of frames, so any thread may call them.
family.py computes the intervals, which hold for all points together. cli/report.py prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pyfio_virtio.analysis import checks, family, stats
from pyfio_virtio.analysis.family import Floats
from pyfio_virtio.analysis.frame import axes, canonical, measured, options, require_numbers
from pyfio_virtio.analysis.metrics import metric as declared
from pyfio_virtio.analysis.names import SUBJECTS, require_one_kind
from pyfio_virtio.results.record import MEASURED
from pyfio_virtio.results.results import ResultsError

Points = Mapping[tuple[str, ...], pd.DataFrame]
# The way stands for the first two, and the others differ from sweep to sweep.
_NOT_OF_A_POINT = ("wait", "sleepy_poll", "filename", "name")
_ENDED = ("passed", "worse", "cannot tell", "missing")


@dataclass(frozen=True)
class Change:
    """One point: both medians and their ratio; missing says why there is no ratio.

    note says how many runs failed, although others succeeded.
    """

    name: str
    base: float
    other: float
    comparison: stats.Comparison
    missing: str = ""
    note: str = ""

    def judged(self, share: float) -> str:
        """One of passed, worse, cannot tell and missing: is other worse by more than this share?"""
        if self.missing:
            return "missing"
        if self.comparison.surely_worse(share):
            return "worse"
        return "passed" if self.comparison.surely_within(share) else "cannot tell"


def compare(
    base: pd.DataFrame, other: pd.DataFrame, metric: str = "iops", allow_unlike: bool = False
) -> list[Change]:
    """Compares each point that one of the sets has; their runs are not paired in time."""
    first, second = measured(base), measured(other)
    for runs in (first, second):
        require_numbers(runs, metric)
    require_one_kind(metric, first, second)
    both = pd.concat([first, second], ignore_index=True)
    differences = checks.unlike(both)
    if differences and not allow_unlike:
        raise ResultsError("these results cannot be compared", " ".join(differences))
    tried = [each[each["role"] == MEASURED] for each in (base, other)]
    keys = identity(tried)
    pairs = [by_point(each, keys) for each in tried]
    if not any(point in pairs[1] for point in pairs[0]):
        raise ResultsError("these results have no point in common", f"keys: {', '.join(keys)}")
    varied = axes(pd.concat(tried, ignore_index=True).assign(error=None))
    names = [key for key in keys if key in varied or key == "way"]
    return _changes(pairs[0], pairs[1], names, metric)


def identity(frames: Sequence[pd.DataFrame]) -> list[str]:
    """The columns that identify a point: the way, every option that all frames have, and those that
    vary in a frame, because runs that differ must not become one point."""
    every = options(pd.concat(frames, ignore_index=True))
    known = [
        name
        for name in every
        if all(name in frame for frame in frames)
        or any(name in frame and frame[name].nunique(dropna=False) > 1 for frame in frames)
    ]
    # Two sweeps of one back-end each are compared, whatever it is called.
    single = {n for n in SUBJECTS if all(n not in f or f[n].nunique() < 2 for f in frames)}
    return ["way", *(name for name in known if name not in {*_NOT_OF_A_POINT, *single})]


def by_point(runs: pd.DataFrame, keys: Sequence[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """The runs of each point, by the canonical values of its keys."""
    runs = runs.reindex(columns=list(dict.fromkeys((*runs, *keys))))
    texts = canonical(runs, keys)
    return {
        tuple(group.iloc[0]): runs.loc[group.index]
        for _, group in texts.groupby(list(keys), sort=False)
    }


def _changes(base: Points, other: Points, names: Sequence[str], metric: str) -> list[Change]:
    points = list(dict.fromkeys((*base, *other)))
    values = [[_values(side.get(each), metric) for side in (base, other)] for each in points]
    shifts = family.two_samples([(stats.logs(one), stats.logs(two)) for one, two in values])
    found = []
    for point, (first, second), shift in zip(points, values, shifts, strict=True):
        runs = other[point] if base.get(point) is None else base[point]
        found.append(
            Change(
                name=checks.name_point(runs.iloc[0], names),
                base=_middle(first),
                other=_middle(second),
                comparison=stats.Comparison.of(shift, False, declared(metric).better),
                missing=_missing(base.get(point), other.get(point), first, second, metric),
                note=_failures(base.get(point), other.get(point)),
            )
        )
    return found


def _values(runs: pd.DataFrame | None, metric: str) -> Floats:
    """The metric of the runs that succeeded, in the order in which they took place."""
    if runs is None:
        return np.array([])
    good = runs[runs["error"].isna()]
    ordered = good.sort_values("order") if "order" in good else good
    return family.finite(ordered[metric])


def _middle(values: Floats) -> float:
    return float(np.median(values)) if values.size else float("nan")


def _missing(
    base: pd.DataFrame | None,
    other: pd.DataFrame | None,
    first: Floats,
    second: Floats,
    metric: str,
) -> str:
    """Why a point has nothing to compare; empty if it has."""
    for name, runs, values in (("BASE", base, first), ("OTHER", other, second)):
        if runs is None:
            return f"{name} does not have it"
        if runs["error"].notna().all():
            return f"every run of {name} failed"
        if not values.size:
            return f"{name} has no {metric} for it"
    for name, values in (("BASE", first), ("OTHER", second)):
        zeros = int((values <= 0).sum())
        if zeros:
            return f"no ratio: {metric} is 0 in {zeros} of {values.size} runs of {name}"
    return ""


def _failures(base: pd.DataFrame | None, other: pd.DataFrame | None) -> str:
    parts = []
    for name, runs in (("BASE", base), ("OTHER", other)):
        failed = int(runs["error"].notna().sum()) if runs is not None else 0
        if runs is not None and 0 < failed < len(runs):
            parts.append(f"{failed} of {len(runs)} runs of {name} failed")
    return "; ".join(parts)


@dataclass(frozen=True)
class Gate:
    """The verdict on all points: the names of those that are worse, open and missing."""

    worse: tuple[str, ...]
    open: tuple[str, ...]
    missing: tuple[str, ...]
    passed: int

    @property
    def points(self) -> int:
        return len(self.worse) + len(self.open) + len(self.missing) + self.passed


def gate(changes: Sequence[Change], share: float) -> Gate:
    """Sorts the points by whether they are surely worse by more than this share."""
    named: dict[str, list[str]] = {verdict: [] for verdict in _ENDED}
    for change in changes:
        named[change.judged(share)].append(change.name or "all runs")
    passed, worse, unsettled, missing = (named[verdict] for verdict in _ENDED)
    return Gate(tuple(worse), tuple(unsettled), tuple(missing), len(passed))
