# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares two sets of runs point by point.

This file owns the pairing of points between sweeps, or between two alternatives of one sweep. It
refuses to compare runs of different machines. All functions are pure functions of frames, so any
thread may call them. family.py computes the intervals, which hold for all points together.
verdict.py says what all points show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pyfio_virtio import efficiency
from pyfio_virtio.analysis import checks, family, stats
from pyfio_virtio.analysis.answers import Answer
from pyfio_virtio.analysis.claims import Study
from pyfio_virtio.analysis.family import Floats
from pyfio_virtio.analysis.frame import (
    as_json,
    canonical,
    in_order,
    measured,
    options,
    require_numbers,
    subject,
)
from pyfio_virtio.analysis.metrics import metric as declared
from pyfio_virtio.analysis.names import SUBJECTS, require_one_kind, why_no_cost
from pyfio_virtio.results import values
from pyfio_virtio.results.record import MEASURED, Row
from pyfio_virtio.results.results import ResultsError

Points = Mapping[tuple[str, ...], pd.DataFrame]
# One result at a point: its name, its runs, and the metric of those that succeeded.
Side = tuple[str, pd.DataFrame | None, Floats]
# The way stands for the first two, and the others differ from sweep to sweep.
_NOT_OF_A_POINT = ("wait", "sleepy_poll", "ioengine", "filename", "name", "stats_file")


@dataclass(frozen=True)
class Change:
    """One point: both medians and their ratio; missing says why there is no ratio.

    keys has the values that tell it from the other points. note says how many runs failed, although
    others succeeded.
    """

    name: str
    keys: Row
    base: float
    other: float
    runs: tuple[int, int]  # of each that have a value
    comparison: stats.Comparison
    missing: str = ""
    note: str = ""

    @property
    def shown(self) -> str:
        """What was shown: better, worse, higher, lower, cannot tell, or missing."""
        return "missing" if self.missing else self.comparison.verdict

    def judged(self, share: float) -> str:
        """One of passed, worse, unsettled and missing: is other worse by more than this share?"""
        if self.missing:
            return "missing"
        if self.comparison.surely_worse(share):
            return "worse"
        return "passed" if self.comparison.surely_within(share) else "unsettled"

    def sentence(self, share: float | None = stats.ADVISED) -> str:
        """What was shown, or why nothing was, and which runs failed.

        More runs are advised if they would show a difference of this share.
        """
        return "; ".join(filter(None, (self.missing or self.comparison.sentence(share), self.note)))


def compare(
    base: pd.DataFrame,
    other: pd.DataFrame,
    metric: str = "iops",
    allow_unlike: bool = False,
    names: tuple[str, str] = ("BASE", "OTHER"),
    study: Study | None = None,
) -> list[Change]:
    """Compares each point that one of the sets has. Their runs are paired if they were measured in
    turns, which only runs of one sweep can be. If the study of that sweep answers the question, its
    answer is given, so that a gate and a report never disagree.

    names are those of the two sets, for sentences. The points are in the order of their values.
    """
    first, second = measured(base), measured(other)
    for runs in (first, second):
        require_numbers(runs, metric)
    require_one_kind(metric, first, second)
    both = pd.concat([first, second], ignore_index=True)
    differences = checks.unlike(both)
    if differences and not allow_unlike:
        raise ResultsError(
            "these results cannot be compared",
            " ".join(differences),
            "use --allow-unlike if that is what you compare",
        )
    tried = [each[each["role"] == MEASURED] for each in (base, other)]
    keys = identity(tried)
    pairs = [by_point(each, keys) for each in tried]
    if not any(point in pairs[1] for point in pairs[0]):
        raise ResultsError("these results have no point in common", _apart(pairs, keys, names))
    return _changes(pairs[0], pairs[1], keys, metric, names, in_turns(base, other), study)


def alternatives(frame: pd.DataFrame) -> list[str]:
    """The names of what one sweep compared: back-ends, builds, programs fio or ways of waiting."""
    asked = subject(frame)
    tried = frame[(frame["role"] == MEASURED) & frame[asked].notna()].drop_duplicates(asked)
    return [str(name) for name in in_order(tried, [asked])[asked]]


def of_alternative(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The runs of one of the alternatives."""
    return frame[frame[subject(frame)].astype(str) == name]


def in_turns(base: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether the two are parts of one sweep, and were measured in turns."""
    both = pd.concat([base, other], ignore_index=True)
    is_one = "repeat" in both and "source" in both and both["source"].nunique() == 1
    return is_one and checks.in_turns(measured(both))


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


def in_order_of_values(
    points: Points, keys: Sequence[str]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """The points in the order of their values, and the keys in which they differ."""
    varied = [key for place, key in enumerate(keys) if len({point[place] for point in points}) > 1]
    heads = pd.DataFrame([runs.iloc[0] for runs in points.values()]).reset_index(drop=True)
    every = list(points)
    return [every[place] for place in in_order(heads, varied).index], varied


def by_point(runs: pd.DataFrame, keys: Sequence[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """The runs of each point, by the canonical values of its keys."""
    runs = runs.reindex(columns=list(dict.fromkeys((*runs, *keys))))
    texts = canonical(runs, keys)
    places: dict[tuple[str, ...], list[int]] = {}
    for place, point in enumerate(zip(*(texts[key] for key in keys), strict=True)):
        places.setdefault(point, []).append(place)
    return {point: runs.iloc[at] for point, at in places.items()}


def _apart(pairs: Sequence[Points], keys: Sequence[str], names: tuple[str, str]) -> str:
    """In which options the points of the two differ."""
    found = []
    for place, key in enumerate(keys):
        first, second = ({point[place]: runs for point, runs in side.items()} for side in pairs)
        if not first.keys() & second.keys():
            texts = [
                " or ".join(_spelled(row, key) for row in _in_order(side.values(), key))
                for side in (first, second)
            ]
            found.append(f"{key} is {texts[0]} in {names[0]} and {texts[1]} in {names[1]}")
    return ", ".join(found) or f"they differ in combinations of {', '.join(keys)}"


def _in_order(points: Iterable[pd.DataFrame], key: str) -> list[pd.Series]:
    """The first run of each point, in the order of the values."""
    heads = in_order(pd.DataFrame([runs.iloc[0] for runs in points]), [key])
    return [row for _, row in heads.iterrows()]


def _spelled(row: pd.Series, key: str) -> str:
    return "not set" if values.is_missing(row[key]) else checks.plain(row[key])


def _changes(
    base: Points,
    other: Points,
    keys: Sequence[str],
    metric: str,
    names: tuple[str, str],
    is_paired: bool,
    study: Study | None,
) -> list[Change]:
    points, varied = in_order_of_values({**other, **base}, keys)
    shown = [key for key in keys if key == "way" or key in varied]
    both = [[_values(side.get(each), metric) for side in (base, other)] for each in points]
    if is_paired:
        rounds = [_by_round([base.get(each), other.get(each)], metric) for each in points]
        found_pairs = family.all_pairs(*zip(*rounds, strict=True))
        shifts = [pairs[0, 1] for pairs in found_pairs]
    else:
        shifts = family.two_samples([(stats.logs(one), stats.logs(two)) for one, two in both])
    found = []
    for point, (first, second), shift in zip(points, both, shifts, strict=True):
        sides = ((names[0], base.get(point), first), (names[1], other.get(point), second))
        runs = next(each for _, each, _ in sides if each is not None)
        own = stats.Comparison.of(shift, is_paired, declared(metric).better)
        found.append(
            Change(
                name=checks.name_point(runs.iloc[0], shown),
                keys={key: as_json(runs.iloc[0][key]) for key in shown},
                base=_middle(first),
                other=_middle(second),
                runs=(first.size, second.size),
                comparison=_studied(study, metric, runs.iloc[0], names) or own,
                missing=_missing(sides, metric),
                note=_failures(sides),
            )
        )
    return found


def _studied(
    study: Study | None, metric: str, point: pd.Series, names: tuple[str, str]
) -> stats.Comparison | None:
    """What the study of a sweep shows at a point; None if it does not answer this question."""
    if study is None or not values.is_missing(point.get("rate_iops")):
        return None
    for answer in study.answers:
        if all(key in point and point[key] == value for key, value in answer.where.items()):
            return _of_answer(answer, metric, names)
    return None


def _of_answer(answer: Answer, metric: str, names: tuple[str, str]) -> stats.Comparison | None:
    """CPU time for each I/O is the inverse of IOPS per core, so it is not tested a second time."""
    if metric == "cpu_us":
        found = answer.per_core.get((names[1], names[0]))
        return replace(found, better="lower") if found else None
    return {"iops": answer.iops, efficiency.BOTH: answer.per_core}.get(metric, {}).get(names)


def _by_round(sides: Sequence[pd.DataFrame | None], metric: str) -> tuple[Floats, Floats]:
    """Logarithms of the metric, and places in the order: a row for each round, a column for each
    side."""
    empty = pd.DataFrame({"repeat": [], metric: [], "order": []}, dtype=float)
    good = [empty if each is None else each[each["error"].isna()] for each in sides]
    rounds = [each.drop_duplicates("repeat").set_index("repeat") for each in good]
    values, order = (
        pd.concat([each[name] for each in rounds], axis=1).to_numpy(float)
        for name in (metric, "order")
    )
    return stats.logs(values).reshape(values.shape), order


def _values(runs: pd.DataFrame | None, metric: str) -> Floats:
    """The metric of the runs that succeeded, in the order in which they took place."""
    if runs is None:
        return np.array([])
    good = runs[runs["error"].isna()]
    ordered = good.sort_values("order") if "order" in good else good
    return family.finite(ordered[metric])


def _middle(values: Floats) -> float:
    return float(np.median(values)) if values.size else float("nan")


def _missing(sides: Sequence[Side], metric: str) -> str:
    """Why a point has nothing to compare; empty if it has."""
    for name, runs, measurements in sides:
        if runs is None:
            return f"{name} does not have it"
        if runs["error"].notna().all():
            return f"every run of {name} failed"
        if not measurements.size:
            why = why_no_cost(runs, metric)
            return f"{name} has no {metric} for it{f', because {why}' if why else ''}"
    for name, _, measurements in sides:
        zeros = int((measurements <= 0).sum())
        if zeros:
            return f"no ratio: {metric} is 0 in {zeros} of {measurements.size} runs of {name}"
    return ""


def _failures(sides: Sequence[Side]) -> str:
    parts = []
    for name, runs, _ in sides:
        failed = int(runs["error"].notna().sum()) if runs is not None else 0
        if runs is not None and 0 < failed < len(runs):
            parts.append(f"{failed} of {len(runs)} runs of {name} failed")
    return "; ".join(parts)
