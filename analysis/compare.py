# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares two sets of runs point by point, and finds which points surely became slower.

This file owns the pairing of points between sweeps, and it refuses to compare runs of different
machines. All functions are pure functions of frames, so any thread may call them. stats.py
computes the verdicts, and cli/report.py prints them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pyfio_virtio.analysis import checks, stats
from pyfio_virtio.analysis.frame import axes, canonical, measured, options, require_numbers
from pyfio_virtio.analysis.names import require_one_kind
from pyfio_virtio.results.results import ResultsError

# Endings of the metrics for which less is better. For all others, more is better.
_COSTS = ("_ns", "_us")


@dataclass(frozen=True)
class Change:
    """The comparison of one point that is in both sets."""

    name: str
    base: float
    other: float
    comparison: stats.Comparison

    def regressed(self, share: float) -> bool:
        """Whether it is surely worse, by more than this share."""
        return self.comparison.exceeds(share)


def compare(
    base: pd.DataFrame, other: pd.DataFrame, metric: str = "iops", allow_unlike: bool = False
) -> list[Change]:
    """Compares each point that both sets have; their runs are not paired in time."""
    first, second = measured(base), measured(other)
    for runs in (first, second):
        require_numbers(runs, metric)
    require_one_kind(metric, first, second)
    both = pd.concat([first, second], ignore_index=True)
    differences = checks.unlike(both)
    if differences and not allow_unlike:
        raise ResultsError("these results cannot be compared", " ".join(differences))
    keys = _keys(first, second, both)
    pairs = _by_point(first, keys), _by_point(second, keys)
    shared = [point for point in pairs[0] if point in pairs[1]]
    if not shared:
        raise ResultsError("these results have no point in common", f"keys: {', '.join(keys)}")
    names = [key for key in keys if key in axes(both) or key == "way"]
    first_runs, second_runs = pairs
    return [
        _change(point, keys, names, first_runs[point], second_runs[point], metric)
        for point in shared
    ]


def _keys(first: pd.DataFrame, second: pd.DataFrame, both: pd.DataFrame) -> list[str]:
    """The columns that identify a point: the way, and every option that both sets have."""
    known = [name for name in options(both) if name in first and name in second]
    return [
        "way",
        *(name for name in known if name not in ("wait", "sleepy_poll", "filename", "name")),
    ]


def _by_point(runs: pd.DataFrame, keys: Sequence[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    texts = canonical(runs, keys)
    return {
        tuple(group.iloc[0]): runs.loc[group.index]
        for _, group in texts.groupby(list(keys), sort=False)
    }


def _change(
    point: tuple[str, ...],
    keys: Sequence[str],
    names: Sequence[str],
    first: pd.DataFrame,
    second: pd.DataFrame,
    metric: str,
) -> Change:
    better_up = not metric.endswith(_COSTS)
    return Change(
        name=checks.name_point(first.iloc[0], names),
        base=float(first[metric].median()),
        other=float(second[metric].median()),
        comparison=stats.compare_series(first[metric], second[metric], better_up),
    )
