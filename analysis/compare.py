# SPDX-License-Identifier: GPL-2.0-or-later
"""Two sets of runs, point by point: what changed, and whether it may be said.

Owns the pairing of points between sweeps, the refusal to compare unlike machines, and the
gate. Pure functions of frames, for any thread; stats.py judges, cli/main.py prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pyfio_virtio.analysis import checks, stats
from pyfio_virtio.analysis.frame import axes, measured, options, require_numbers
from pyfio_virtio.results.results import ResultsError

# Metrics of which less is better; of all others, more is.
_COSTS = ("_ns", "_us")


@dataclass(frozen=True)
class Change:
    """One point in both sets."""

    name: str
    base: float
    other: float
    comparison: stats.Comparison

    def regressed(self, share: float) -> bool:
        """Surely worse, and by more than this share."""
        return self.comparison.exceeds(share)


def compare(
    base: pd.DataFrame, other: pd.DataFrame, metric: str = "iops", allow_unlike: bool = False
) -> list[Change]:
    """Each point that both have. The sets ran at different times, so runs are not paired."""
    first, second = measured(base), measured(other)
    for runs in (first, second):
        require_numbers(runs, metric)
    both = pd.concat([first, second], ignore_index=True)
    differences = checks.unlike(both)
    if differences and not allow_unlike:
        raise ResultsError("these results do not compare", " ".join(differences))
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
    """What identifies a point: the way and every option that both sets know."""
    known = [name for name in options(both) if name in first and name in second]
    return ["way", *(name for name in known if name not in ("wait", "sleepy_poll", "filename"))]


def _by_point(runs: pd.DataFrame, keys: Sequence[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    # As text, since a missing value does not equal itself.
    texts = runs[list(keys)].map(str)
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
    shown = pd.Series(dict(zip(keys, point, strict=True)))
    return Change(
        name=checks.name_point(shown, names),
        base=float(first[metric].median()),
        other=float(second[metric].median()),
        comparison=stats.compare_series(first[metric], second[metric], better_up),
    )
