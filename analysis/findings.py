# SPDX-License-Identifier: GPL-2.0-or-later
"""Says in sentences what a sweep found; every number in them comes from its runs.

This file owns the answers: which way of waiting is best at which point, by how much, and at
which CPU cost, and where a latency curve bends. All functions are pure functions of frames, so
any thread may call them. Pictures take their titles from here and reports their answers, so
that they agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pyfio_virtio.analysis import stats
from pyfio_virtio.analysis.checks import noise_floor
from pyfio_virtio.analysis.frame import axes, fixed, grouped, measured, points
from pyfio_virtio.analysis.style import short
from pyfio_virtio.results.record import Row

BASELINE = "event"
# A way is mentioned beside the best one if it has at least NEARLY of its IOPS for at most
# CHEAPER of its CPU time.
NEARLY = 0.90
CHEAPER = 0.90
_NEEDED = ("way", "way_order", "repeat", "role", "error", "iops", "cpu_us")


@dataclass(frozen=True)
class Best:
    """The way with the most IOPS at one combination of the other axes, and its rivals."""

    where: Row
    way: str
    iops: stats.Estimate
    equals: tuple[str, ...]  # ways that cannot be distinguished from it
    baseline: str
    gain: stats.Comparison | None  # best / baseline; None if the best is the baseline
    cpu_us: float | None
    baseline_cpu_us: float | None
    thrifty: tuple[str, float, float] | None  # way, share of the IOPS, µs of CPU per I/O

    @property
    def times(self) -> str:
        """The gain as a factor with a multiplication sign; empty for the baseline itself."""
        return f"{self.gain.ratio.value:.3g}\N{MULTIPLICATION SIGN}" if self.gain else ""

    @property
    def sentence(self) -> str:
        """The answer in words."""
        parts = [f"{_place(self.where)}{self.way} is best with {short(self.iops.value)} IOPS"]
        is_told = self.gain is not None and self.baseline not in self.equals
        if is_told:
            parts.append(f"{self.times} {self.baseline}'s")
        if self.cpu_us is not None and self.baseline_cpu_us is not None and is_told:
            parts.append(
                f"for {self.cpu_us:.2g} µs of CPU per I/O against {self.baseline_cpu_us:.2g}"
            )
        sentence = ", ".join(parts) + "."
        if self.equals:
            sentence += f" {_list(self.equals)} cannot be distinguished from it."
        if self.thrifty:
            way, share, cost = self.thrifty
            sentence += f" {way} reaches {share:.0%} of that for {cost:.2g} µs of CPU per I/O."
        return _capital(sentence)


def best(frame: pd.DataFrame) -> list[Best]:
    """The best way at each combination of the axes other than the way."""
    runs = unrated(frame)
    others = [name for name in axes(runs) if name != "way"]
    if runs["way"].nunique() < 2:
        return []
    needed = {*others, *_NEEDED}
    runs = runs[[name for name in runs if name in needed]]
    if not others:
        return [_best_of(runs, {})]
    return [
        _best_of(group, where)
        for where, group in grouped(runs, others)
        if group["way"].nunique() > 1
    ]


def _best_of(runs: pd.DataFrame, where: Row) -> Best:
    table = points(runs, ["way"], ("iops", "cpu_us")).set_index("way")
    way = str(table["iops"].idxmax())
    baseline = BASELINE if BASELINE in table.index else str(table.index[0])
    rounds = by_round(runs)
    rivals = {rival: compare_ways(rounds, rival, way) for rival in table.index if rival != way}
    cost = table["cpu_us"] if "cpu_us" in table else pd.Series(dtype=float)
    equals = [rival for rival, each in rivals.items() if each.verdict == "cannot tell"]
    return Best(
        where=where,
        way=way,
        iops=stats.median(runs[runs["way"] == way]["iops"]),
        equals=tuple(equals),
        baseline=baseline,
        gain=rivals.get(baseline),
        cpu_us=_cost(cost, way),
        baseline_cpu_us=_cost(cost, baseline),
        thrifty=_thrifty(table["iops"], cost, way),
    )


def _cost(cost: pd.Series, way: str) -> float | None:
    value = cost.get(way)
    return None if value is None or not np.isfinite(value) else float(value)


def _thrifty(iops: pd.Series, cost: pd.Series, way: str) -> tuple[str, float, float] | None:
    """The cheapest of the ways that are nearly the best, if it saves enough to mention it."""
    near = cost[iops >= NEARLY * iops[way]].dropna() if len(cost) else cost
    if near.empty or way not in near.index or near.min() > CHEAPER * near[way]:
        return None
    frugal = str(near.idxmin())
    return frugal, float(iops[frugal] / iops[way]), float(near.min())


def by_round(runs: pd.DataFrame, metric: str = "iops") -> pd.DataFrame:
    """One row for each repeat, one column for each way; a row was measured close together."""
    return runs.pivot_table(index="repeat", columns="way", values=metric, aggfunc="median")


def compare_ways(
    rounds: pd.DataFrame, base: str, other: str, higher_is_better: bool = True
) -> stats.Comparison:
    """Compares other with base, over the rounds of by_round() that have both."""
    first, second = rounds[base].to_numpy(), rounds[other].to_numpy()
    both = np.isfinite(first) & np.isfinite(second)
    return stats.compare_pairs(first[both], second[both], higher_is_better)


def unrated(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs without a set rate; all runs if each has a rate."""
    runs = measured(frame)
    if "rate_iops" not in runs:
        return runs
    free = runs[runs["rate_iops"].isna()]
    return free if len(free) else runs


def headline(answers: Sequence[Best]) -> str:
    """All the answers in one sentence."""
    if not answers:
        return "Only one way of waiting was measured, so there is nothing to compare."
    ways = list(dict.fromkeys(answer.way for answer in answers))
    if len(answers) == 1:
        return _capital(f"{answers[0].way} gives the most IOPS.")
    always = [w for w in ways if all(w == a.way or w in a.equals for a in answers)]
    if always:
        return _capital(f"{always[0]} is best, or equal to the best, everywhere.")
    if {tuple(answer.where) for answer in answers} == {("iodepth",)}:
        parts = [f"{way} at iodepth {_list(_depths(answers, way))}" for way in ways]
        return f"No way of waiting is best everywhere: {'; '.join(parts)}."
    counts = [f"{way} is best at {sum(a.way == way for a in answers)}" for way in ways]
    return f"No way of waiting is best everywhere: of {len(answers)} points, {_list(counts)}."


def _depths(answers: Sequence[Best], way: str) -> list[str]:
    return [str(answer.where["iodepth"]) for answer in answers if answer.way == way]


def gain_sentence(answers: Sequence[Best]) -> str:
    """The largest gain over the baseline, for a picture's title."""
    gains = [a for a in answers if a.gain and a.gain.verdict == "faster"]
    if not gains:
        return headline(answers)
    top = max(gains, key=lambda each: each.gain.ratio.value if each.gain else 0)
    gives = f"{top.way} gives {top.times} {top.baseline}'s IOPS"
    return _capital(f"{gives} {_place(top.where, False)}".rstrip())


def knee(iops: Sequence[float], latency: Sequence[float]) -> int | None:
    """Where a latency curve bends: the point that is farthest below the line between its ends.

    The logarithm of the latency is used, because it is drawn on a logarithmic axis. None if the
    curve does not rise at its end, because it has no knee then.
    """
    x, y = np.asarray(iops, float), np.log(np.asarray(latency, float))
    if x.size < 4 or x.argmax() < x.size - 2 or y.argmax() != y.size - 1:
        return None
    if np.ptp(x) == 0 or y[-1] - y[0] < np.log(1.5):
        return None
    below = (x - x[0]) / np.ptp(x) - (y - y[0]) / (y[-1] - y[0])
    where = int(np.argmax(below))
    return where if below[where] > 0.1 else None


def pareto(cost: Sequence[float], latency: Sequence[float]) -> list[int]:
    """The points that no other point beats in both cost and latency, by ascending cost."""
    front: list[int] = []
    for index in np.lexsort((latency, cost)):
        if not front or latency[index] < latency[front[-1]]:
            front.append(int(index))
    return front


def conditions(frame: pd.DataFrame) -> str:
    """The conditions of all runs in one line: options, back-end, fio, runs, intervals."""
    runs = measured(frame)
    shared = fixed(frame)
    parts = [str(shared[name]) for name in ("rw", "bs") if name in shared]
    parts += [f"{n} {v}" for n, v in shared.items() if n not in _OMIT and (n, v) != ("numjobs", 1)]
    for column in ("backend", "fio_version", "host_cpu_model"):
        if column in runs and runs[column].dropna().nunique() == 1:
            parts.append(str(runs[column].dropna().iloc[0]))
    return " · ".join([*parts, _repeats(runs, axes(frame)), *_floor(frame)])


def _repeats(runs: pd.DataFrame, keys: list[str]) -> str:
    sizes = runs.groupby(keys, dropna=False, sort=False).size() if keys else pd.Series([len(runs)])
    few, many = int(sizes.min()), int(sizes.max())
    if many == 1:
        return "1 run each, no intervals"
    count = str(few) if few == many else f"{few} to {many}"
    return f"{count} runs each, {_confidence(max(few, 2))} intervals"


def _floor(frame: pd.DataFrame) -> list[str]:
    floor = noise_floor(frame)
    return [f"noise ±{floor.ratio.half_width:.1%}"] if floor and floor.ratio.n > 1 else []


# Options that conditions() does not show, or shows in another form.
_OMIT = {
    *("rw", "bs", "runtime", "ramp_time", "time_based", "filename", "ioengine", "size"),
    *("group_reporting", "thread", "direct", "stats_file"),
}


def _confidence(runs: int) -> str:
    reached = stats.order_ranks(runs)[1] if runs < stats.FEW_RUNS else stats.CONFIDENCE
    return f"{int(reached * 100)}%"


def _place(where: Row, leading: bool = True) -> str:
    if not where:
        return ""
    words = _list([f"{name} {value}" for name, value in where.items()])
    return f"At {words}, " if leading else f"at {words}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _list(words: Iterable[str]) -> str:
    *first, last = list(words)
    return f"{', '.join(first)} and {last}" if first else last
