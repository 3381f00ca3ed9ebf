# SPDX-License-Identifier: GPL-2.0-or-later
"""Which points dominate which: less of latency or of CPU time, and not more of the other.

This file owns the front, the points that none was shown to dominate, and the sentences about it.
All functions are pure, so any thread may call them. family.py computes the intervals, which hold
for all pairs of points, both metrics and all given parts together. plots.py draws the front.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pyfio_virtio.analysis import checks, family, rounds, stats
from pyfio_virtio.analysis.family import CONFIDENCE, FEWEST_ROUNDS, Floats
from pyfio_virtio.analysis.findings import unrated
from pyfio_virtio.analysis.frame import in_order, in_turns_axes, subject
from pyfio_virtio.analysis.names import listed
from pyfio_virtio.analysis.style import capital

COST, LATENCY = "cpu_us", "lat_mean_ns"
# A point that dominates another is surely not worse by more than this share.
MARGIN = 0.05
# The pairs of more points than these are too many to be compared.
MOST_POINTS = 40
_MOST_NAMED = 5


@dataclass(frozen=True)
class Front:
    """The points of one part in their order; reason says why nothing was compared."""

    points: tuple[str, ...] = ()
    dominated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by these points
    alike: tuple[tuple[str, str], ...] = ()  # pairs of the front that were not told apart
    reason: str = ""

    @property
    def front(self) -> tuple[str, ...]:
        """The points that none was shown to dominate."""
        return tuple(name for name in self.points if name not in self.dominated)


@dataclass(frozen=True)
class Tables:
    """The rounds of one part: logarithms with a column for each point, and when they were made."""

    points: tuple[str, ...]
    latency: Floats
    cost: Floats
    order: Floats | None = None


def fronts(parts: Sequence[pd.DataFrame], latency: str = LATENCY) -> list[Front]:
    """The front of each part; all of them are one family of comparisons."""
    made = [_tables(unrated(part), latency) for part in parts]
    found = iter(of_tables([each for each in made if isinstance(each, Tables)]))
    return [next(found) if isinstance(each, Tables) else Front(reason=each) for each in made]


def name_of(row: pd.Series, keys: Sequence[str]) -> str:
    """The name of a point in a list, such as "busy at iodepth 32"."""
    return " at ".join(filter(None, (checks.name_point(row, [key]) for key in keys)))


def keys_of(runs: pd.DataFrame, by: str) -> list[str]:
    """The columns that tell the points of a picture apart."""
    return [by, "iodepth"] if runs["iodepth"].nunique() > 1 else [by]


def _tables(runs: pd.DataFrame, latency: str) -> Tables | str:
    """The rounds of a part, or why they cannot be compared."""
    usable = runs.dropna(subset=[COST, latency])
    usable = usable[(usable[COST] > 0) & (usable[latency] > 0)]
    keys = keys_of(usable, subject(runs))
    points = tuple(
        name_of(row, keys) for _, row in in_order(usable.drop_duplicates(keys), keys).iterrows()
    )
    if len(points) < 2:
        return "there are no two points to compare"
    if not in_turns_axes(usable) or not checks.in_turns(usable):
        return "the points were not measured in turns, so it is not said which of them dominate"
    if len(points) > MOST_POINTS:
        return f"{len(points)} points are too many to compare all of them"
    names = [name_of(row, keys) for _, row in usable.iterrows()]
    times, order = rounds.by_round(usable, names, points, latency)
    costs, _ = rounds.by_round(usable, names, points, COST)
    known = np.isfinite(times).astype(int)
    most = int(((known.T @ known) * (1 - np.eye(len(points), dtype=int))).max())
    if most < FEWEST_ROUNDS:
        of = f"{most} {'round' if most == 1 else 'rounds'}"
        return f"{of} cannot show which points dominate; {FEWEST_ROUNDS} are needed"
    return Tables(points, times, costs, order)


def of_tables(parts: Sequence[Tables]) -> list[Front]:
    """The fronts of these rounds, as one family of comparisons."""
    flat = [table for part in parts for table in (part.latency, part.cost)]
    orders = [part.order for part in parts for _ in range(2)]
    found = iter(family.all_pairs(flat, orders))
    return [_front(part.points, (next(found), next(found))) for part in parts]


Shifts = Mapping[tuple[int, int], family.Shift]


def _front(points: tuple[str, ...], metrics: tuple[Shifts, Shifts]) -> Front:
    dominated: dict[str, tuple[str, ...]] = {}
    open_pairs = []
    for pair in metrics[0]:
        there = [_compared(shifts[pair]) for shifts in metrics]
        back = [_compared(shifts[pair].reversed) for shifts in metrics]
        first, second = (points[place] for place in pair)
        if _dominates(there):
            dominated[first] = (*dominated.get(first, ()), second)
        elif _dominates(back):
            dominated[second] = (*dominated.get(second, ()), first)
        elif {each.verdict for each in there} != {"better", "worse"}:
            open_pairs.append((first, second))
    alike = tuple(pair for pair in open_pairs if not set(pair) & dominated.keys())
    return Front(points, dominated, alike)


def _compared(shift: family.Shift) -> stats.Comparison:
    return stats.Comparison.of(shift, True, "lower")


def _dominates(metrics: Sequence[stats.Comparison]) -> bool:
    """Whether the other point is better in one of them, and surely not worse in any."""
    verdicts = [each.verdict for each in metrics]
    return (
        "better" in verdicts
        and "worse" not in verdicts
        and all(each.surely_within(MARGIN) for each in metrics)
    )


# ---- sentences ----------------------------------------------------------------------------


def title(found: Front) -> str:
    """What the picture shows, in one sentence."""
    if found.reason:
        return f"Latency against CPU time; {found.reason}"
    if not found.dominated or not found.front:
        return "Latency against CPU time: no point was shown to dominate another"
    if len(found.front) > _MOST_NAMED:
        which = f"{len(found.front)} of {len(found.points)} points (filled)"
    else:
        which = listed(found.front)
    were = "was" if len(found.front) == 1 else "were"
    return f"{which} {were} not shown to be dominated in latency and CPU time"


def sentences(found: Front) -> Iterator[str]:
    """What stands under the picture: the front, what is dominated, and what cannot be told."""
    if found.reason:
        return
    if found.front:
        yield f"On the front, because no point was shown to dominate them: {_several(found.front)}."
    else:
        yield f"No point is on the front: within {MARGIN:.0%}, each is dominated by another."
    if found.dominated:
        pairs = [f"{name} by {_strongest(found, by)}" for name, by in found.dominated.items()]
        yield f"Dominated (hollow symbols): {_several(pairs)}."
    if found.alike:
        pairs = [f"{first} and {second}" for first, second in found.alike]
        yield f"Not told apart on the front: {_several(pairs)}."
    yield (
        "A point dominates another if the ratios of their rounds show less latency or less CPU "
        f"time for each I/O, do not show more of the other, and exclude {MARGIN:.0%} more of it. "
        f"The intervals hold for all pairs together with a confidence of {CONFIDENCE:.0%}."
    )


def line(found: Front) -> str:
    """The front without its picture, in one line; "" if no point was shown to be dominated."""
    if not found.dominated:
        return ""
    what = "Latency against CPU time"
    pairs = [f"{name} by {_strongest(found, by)}" for name, by in found.dominated.items()]
    rest = f"on the front: {_several(found.front)}" if found.front else "no point is on the front"
    return f"{what}: dominated: {_several(pairs)}. {capital(rest)}."


def _strongest(found: Front, by: Sequence[str]) -> str:
    """Of the points that dominate one, the first that is on the front."""
    return next((name for name in by if name in found.front), by[0])


def _several(parts: Sequence[str]) -> str:
    more = f"; and {len(parts) - _MOST_NAMED} more" if len(parts) > _MOST_NAMED else ""
    return f"{'; '.join(parts[:_MOST_NAMED])}{more}"
