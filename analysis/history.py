# SPDX-License-Identifier: GPL-2.0-or-later
"""A metric over many sweeps, and the sweeps at which it changed.

This file owns the search for change points and its picture. read() reads folders and changes none.
Everything is called from one thread, because of the picture.

A change is claimed if a span of neighbouring sweeps differs from the others by more than any
span does in 95% of random orders of the same sweeps (circular binary segmentation, Olshen and
others 2004, with a permutation test over all points together, which corrects for their number).
Each end of the span must then be shown by itself, between the parts on both of its sides, and
the parts are searched in the same way. At least eight sweeps are needed. A slow trend is found
as one or more steps, and steps of different points that lie close together may be found as one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pyfio_virtio.analysis import checks, drawing, metrics, names, sources, stats, style
from pyfio_virtio.analysis.compare import by_point, identity, in_order_of_values
from pyfio_virtio.analysis.family import CONFIDENCE, RESAMPLES, SEED, Floats
from pyfio_virtio.analysis.frame import as_json, load, measured, require_numbers
from pyfio_virtio.analysis.names import require_one_kind
from pyfio_virtio.results.record import Row
from pyfio_virtio.results.results import ResultsError

FEWEST_SWEEPS = 8


@dataclass(frozen=True)
class Change:
    """A step of one point: the first sweep after it, and the ratio of its means."""

    point: str
    sweep: int
    ratio: float


@dataclass(frozen=True)
class History:
    """Medians by point and sweep, and the changes that were shown."""

    metric: str
    sweeps: tuple[str, ...]  # the names of the folders, by the time of their first run
    dates: tuple[str, ...]
    points: tuple[str, ...]
    medians: Floats  # (points, sweeps); NaN: the sweep does not have the point
    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was shown."""
        count = len(self.sweeps)
        if count < FEWEST_SWEEPS:
            return (
                f"{count} {'sweep is' if count == 1 else 'sweeps are'} too few to show a change; "
                f"{FEWEST_SWEEPS} are needed.",
            )
        searched = int(is_searched(self.medians).sum())
        if not searched:
            return ("No point is in all sweeps, so no change was searched.",)
        told = [self._sentence(each) for each in self.changes]
        told = told or [f"No change was shown over {count} sweeps."]
        if rest := len(self.points) - searched:
            of = f"{rest} of {len(self.points)} points"
            told.append(f"Not searched, because a sweep lacks them: {of}.")
        return tuple(told)

    def as_dict(self) -> Row:
        """The same for programs; docs/reports.md describes it."""
        dated = zip(self.sweeps, self.dates, strict=True)
        rows = zip(self.points, self.medians.tolist(), strict=True)
        return {
            "metric": self.metric,
            "better": metrics.metric(self.metric).better or None,
            "sentences": list(self.sentences),
            "warnings": list(self.warnings),
            "sweeps": [{"name": name, "began": date} for name, date in dated],
            "points": [
                {"point": name or "all runs", "medians": [as_json(each) for each in medians]}
                for name, medians in rows
            ],
            "changes": [
                {"point": e.point or "all runs", "sweep": self.sweeps[e.sweep], "ratio": e.ratio}
                for e in self.changes
            ],
        }

    def _sentence(self, change: Change) -> str:
        where = f"{change.point}: " if change.point else ""
        at = f"{self.sweeps[change.sweep]} ({self.dates[change.sweep]})"
        judged = ""
        better = metrics.metric(self.metric).better
        if better:
            judged = " (better)" if (change.ratio > 1) == (better == "higher") else " (worse)"
        return f"{where}{self.metric} is {stats.times(change.ratio)}{judged} from {at} on."


def read(folders: Sequence[Path], metric: str = "iops") -> History:
    """Reads sweeps, in the order of their first runs."""
    sources.require_different(folders)
    named = zip(sources.names_of(folders), folders, strict=True)
    frames = [(name, _of(folder, metric)) for name, folder in named]
    frames.sort(key=lambda each: _began(each[1]))
    require_one_kind(metric, *(frame for _, frame in frames))
    both = pd.concat([frame for _, frame in frames], ignore_index=True)
    keys = identity([frame for _, frame in frames])
    sides = [by_point(frame, keys) for _, frame in frames]
    runs = {point: part for side in reversed(sides) for point, part in side.items()}
    ordered, varied = in_order_of_values(runs, keys)
    medians = np.array(
        [
            [side[point][metric].dropna().median() if point in side else np.nan for side in sides]
            for point in ordered
        ],
        float,
    )
    points = tuple(checks.name_point(runs[point].iloc[0], varied) for point in ordered)
    return History(
        metric,
        tuple(name for name, _ in frames),
        tuple(_began(frame)[:16].replace("T", " ") for _, frame in frames),
        points,
        medians,
        tuple(changes(medians, points)),
        tuple(checks.unlike(both)),
    )


def _of(folder: Path, metric: str) -> pd.DataFrame:
    runs = measured(load(folder))
    if runs.empty:
        raise ResultsError(f"{folder} has no run that succeeded", "", "leave it out")
    require_numbers(runs, metric)
    return runs


def _began(frame: pd.DataFrame) -> str:
    return str(frame["started"].min()) if "started" in frame else ""


def is_searched(medians: Floats) -> NDArray[np.bool_]:
    """For each point, whether all sweeps have it."""
    found: NDArray[np.bool_] = np.all(np.isfinite(medians) & (medians > 0), axis=1)
    return found


# ---- change points ---------------------------------------------------------------------------


def changes(medians: Floats, points: Sequence[str]) -> list[Change]:
    """The steps that survive, by sweep. Points that a sweep lacks are not searched."""
    whole = is_searched(medians)
    logs = np.log(medians[whole])
    logs -= logs.mean(axis=1, keepdims=True)
    names_of = list(itertools.compress(points, whole))
    found = _search(logs, 0, np.random.default_rng(SEED)) if len(logs) else []
    bounds = [0, *sorted({at for at, _ in found}), medians.shape[1]]
    steps = []
    for at, row in sorted(found):
        before, after = bounds[bounds.index(at) - 1], bounds[bounds.index(at) + 1]
        step = logs[row, at:after].mean() - logs[row, before:at].mean()
        steps.append(Change(names_of[row], at, math.exp(step)))
    return steps


def _search(logs: Floats, offset: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """(sweep, point) of each change, in this part of the history and between its changes."""
    sweeps = logs.shape[1]
    if sweeps < FEWEST_SWEEPS:
        return []
    begins, ends = _spans(sweeps)
    seen = _steps(logs, begins, ends)
    limit = _limit(logs, begins, ends, random)
    if seen.max() <= limit:
        return []
    span = int(seen.max(axis=0).argmax())
    rows = np.flatnonzero(seen[:, span] > limit).tolist()
    cuts = _shown(logs, sorted({0, int(begins[span]), int(ends[span]), sweeps}), random)
    found = [(offset + cut, row) for cut in cuts[1:-1] for row in rows]
    for first, last in itertools.pairwise(cuts):
        found += _search(logs[:, first:last], offset + first, random)
    return found


def _limit(
    logs: Floats, begins: NDArray[np.intp], ends: NDArray[np.intp], random: np.random.Generator
) -> float:
    """What the largest step reaches in 5% of random orders of the sweeps."""
    orders = random.random((RESAMPLES, logs.shape[1])).argsort(axis=1)
    largest = [float(_steps(logs[:, order], begins, ends).max()) for order in orders]
    return float(np.quantile(largest, CONFIDENCE, method="higher"))


def _shown(logs: Floats, cuts: list[int], random: np.random.Generator) -> list[int]:
    """Without the less certain of two inner cuts if it is not shown between its neighbours."""
    if len(cuts) < 4:
        return cuts
    steps = []
    for before, cut, after in zip(cuts, cuts[1:], cuts[2:], strict=False):
        part, place = logs[:, before:after], np.array([cut - before])
        if part.shape[1] < 4:
            steps.append((-math.inf, cut))
            continue
        seen = float(_steps(part, np.array([0]), place).max())
        steps.append((seen - _limit(part, np.array([0]), place, random), cut))
    margin, weakest = min(steps)
    return [cut for cut in cuts if cut != weakest] if margin <= 0 else cuts


def _spans(sweeps: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every span of neighbouring sweeps but the whole: its first sweep, and the one after it."""
    begins, ends = np.triu_indices(sweeps + 1, 1)
    is_part = ends - begins < sweeps
    return begins[is_part], ends[is_part]


def _steps(logs: Floats, begins: NDArray[np.intp], ends: NDArray[np.intp]) -> Floats:
    """For each point and span: how many standard errors the span differs from all other sweeps."""
    sweeps = logs.shape[1]
    sums = np.concatenate([np.zeros((len(logs), 1)), logs.cumsum(axis=1)], axis=1)
    inside, whole = sums[:, ends] - sums[:, begins], sums[:, -1:]
    n = ends - begins
    rest = sweeps - n
    step = np.abs(inside / n - (whole - inside) / rest)
    squares = (logs**2).sum(axis=1, keepdims=True)
    within = np.maximum(squares - inside**2 / n - (whole - inside) ** 2 / rest, 1e-12)
    sizes: Floats = step / np.sqrt(within / (sweeps - 2) * (1 / n + 1 / rest))
    return sizes


# ---- the picture -------------------------------------------------------------------------------


def draw(found: History) -> Figure:
    """The medians by sweep; the points with changes come first if there are too many lines."""
    with style.look():
        whole = style.figure(max(style.SIZE[0], 1 + 0.45 * len(found.sweeps)))
        place = whole.add_subplot()
        rows = _rows(found)
        style.end_labels(place, [_line(place, found, row, n) for n, row in enumerate(rows)])
        for at in sorted({change.sweep for change in found.changes}):
            place.axvline(at - 0.5, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)))
        _sweep_axis(place, found)
        if np.nanmin(found.medians[rows]) > 0:
            place.set_yscale("log")
        place.set_ylabel(names.NAMES.get(found.metric, found.metric))
        style.plain(place.yaxis, metrics.metric(found.metric).show)
        style.titles(place, found.sentences[0], _note(found, len(rows)))
        return whole


def _line(place: Axes, found: History, row: int, number: int) -> tuple[float, float, str, str]:
    """Draws a point's line; returns where its label belongs."""
    drawn = style.series(number)
    values = found.medians[row]
    place.plot(np.arange(values.size), values, **drawn)
    last = int(np.flatnonzero(np.isfinite(values))[-1])
    return float(last), float(values[last]), found.points[row] or found.metric, drawn["color"]


def _sweep_axis(place: Axes, found: History) -> None:
    named = zip(found.sweeps, found.dates, strict=True)
    labels = [f"{name}\n{date[:10]}" for name, date in named]
    place.set_xticks(range(len(labels)), labels, rotation=45, ha="right")


def _rows(found: History) -> list[int]:
    changed = {change.point for change in found.changes}
    order = sorted(range(len(found.points)), key=lambda row: found.points[row] not in changed)
    return sorted(order[: drawing.MOST_LINES])


def _note(found: History, drawn: int) -> str:
    parts = [f"medians of {len(found.sweeps)} sweeps"]
    if drawn < len(found.points):
        parts.append(f"{drawn} of {len(found.points)} points are drawn")
    if found.changes:
        parts.append("dashed lines: changes that were shown")
    return " · ".join(parts)
