# SPDX-License-Identifier: GPL-2.0-or-later
"""Warns about noise, drift, stolen CPU time, full CPUs, few samples and different hosts.

This file owns the warnings; each is one sentence with its numbers. All functions are pure
functions of frames, so any thread may call them. They never drop a run: the reader decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pyfio_virtio.analysis import stats, style
from pyfio_virtio.analysis.frame import axes, in_turns_axes, measured, points
from pyfio_virtio.analysis.names import FOLDER, SUBJECTS
from pyfio_virtio.engine.counters import RESTARTS
from pyfio_virtio.results import values
from pyfio_virtio.results.record import BUSY_LOAD, FIO_PROGRAM, MEASURED, TWIN

NOISY = 0.05  # half the width of an interval divided by the median
STOLEN_PERCENT = 1.0
FULL_CPU = 0.97
FEWEST_RUNS = 5
MOST_NAMED = 5
FEWEST_IOS = 1000  # with fewer there is no p99
FEWEST_FOR_DRIFT = 20
_CPU_TIMES = ("fio_user_s", "fio_system_s", "backend_user_s", "backend_system_s")
# If one of these facts differs, a ratio of the runs says nothing about the change.
ENVIRONMENT = (
    "fio_version",
    "host_cpu_model",
    "host_cpus",
    "host_governor",
    "host_kernel",
    "host_mitigations",
)


def warnings(frame: pd.DataFrame) -> list[str]:
    """All warnings that a reader should see before the results."""
    runs = measured(frame)
    found = [*_folders(runs), *unlike(runs)]
    if len(runs):
        found += [*_noisy(runs), *_drift(runs), *_load(runs), *_steal(runs)]
        found += [*_full(runs), *_restarts(runs), *_few(runs)]
    return found


def _folders(runs: pd.DataFrame) -> list[str]:
    if FOLDER not in axes(runs):
        return []
    return [
        "The folders were not measured in turns, so a difference between them may be a change of "
        "the machine. Nothing is claimed of it."
    ]


def name_point(row: pd.Series | Mapping[str, Any], keys: Sequence[str]) -> str:
    """The name of a point in a sentence, such as "sleepy 20 µs, iodepth 32"."""
    return ", ".join(label(key, row[key]) for key in keys if not values.is_missing(row[key]))


def label(name: str, value: object) -> str:
    """A value with the name of its column, such as "iodepth 32". Some values need no name."""
    return plain(value) if name == "rw" or name in SUBJECTS else f"{name} {plain(value)}"


def plain(value: object) -> str:
    """Removes the ".0" that pandas adds to whole numbers in a column with gaps."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def unlike(frame: pd.DataFrame) -> list[str]:
    """One sentence for each fact of ENVIRONMENT in which runs of the same fio differ."""
    found = []
    for name in ENVIRONMENT:
        values = sorted(map(str, frame[name].dropna().unique())) if name in frame else []
        is_asked = name == "fio_version" and _is_of_each(frame, FIO_PROGRAM, name)
        if len(values) > 1 and not is_asked:
            fact = name.removeprefix("host_").replace("_", " ")
            found.append(f"The environments differ: {fact} was {' and '.join(values)}.")
    return found


def _is_of_each(frame: pd.DataFrame, column: str, fact: str) -> bool:
    """Whether each value of a column goes with one value of a fact."""
    return column in frame and bool((frame.groupby(column)[fact].nunique() < 2).all())


@dataclass(frozen=True)
class Noise:
    """How much two runs of the same point differ, from a point that was measured twice."""

    where: str
    pairs: int
    typical: float  # half of the pairs differ by less, as a share
    largest: float
    is_biased: bool  # one of the two was shown to be faster, although they are the same


def noise(frame: pd.DataFrame, metric: str = "iops") -> Noise | None:
    """A against A; None if no point was measured twice a round."""
    twins = frame[(frame["role"] == TWIN) & frame["error"].isna()]
    if twins.empty:
        return None
    keys = [name for name in dict.fromkeys(("way", *in_turns_axes(frame))) if name in twins]
    # As text, so that two missing values (no rate) are equal.
    wanted = _texts(twins, keys).iloc[0]
    twins, first = (
        _by_round(runs[(_texts(runs, keys) == wanted).all(axis=1)])
        for runs in (twins, measured(frame))
    )
    both = first.index.intersection(twins.index)
    base, other = first.loc[both, metric], twins.loc[both, metric]
    apart = np.abs(stats.logs(other) - stats.logs(base))
    apart = np.expm1(apart[np.isfinite(apart)])
    if not apart.size:
        return None
    return Noise(
        where=name_point(twins.iloc[0], keys),
        pairs=apart.size,
        typical=float(np.median(apart)),
        largest=float(apart.max()),
        is_biased=stats.compare_pairs(base, other).differs,
    )


def _texts(runs: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Each value as Python writes it. DataFrame.map() would do it, but not with pandas 1."""
    return pd.DataFrame({name: runs[name].map(str) for name in columns}, runs.index)


def _by_round(runs: pd.DataFrame) -> pd.DataFrame:
    """The first run of each round of a sweep; two folders have no common rounds."""
    named = runs.assign(_round=list(map(str, rounds(runs))))
    return named.drop_duplicates("_round").set_index("_round")


def rounds(runs: pd.DataFrame) -> list[tuple[str, int]]:
    """The round of each run: the sweep, because each sweep counts from 1, and the repeat."""
    sources = runs["source"] if "source" in runs else [""] * len(runs)
    repeats = runs["repeat"] if "repeat" in runs else [1] * len(runs)
    return [(str(source), int(repeat)) for source, repeat in zip(sources, repeats, strict=True)]


def in_turns(runs: pd.DataFrame) -> bool:
    """Whether the points of each folder were measured in turns, and not each point as a whole.

    True if no order was recorded, as in frames that did not come from a sweep.
    """
    if "order" not in runs or "repeat" not in runs:
        return True
    if FOLDER in axes(runs):
        return all(in_turns(part) for _, part in runs.groupby(FOLDER))
    keys = axes(runs)
    ordered = runs.sort_values([name for name in ("source", "order") if name in runs])
    point = _texts(ordered, keys).agg("/".join, axis=1) if keys else pd.Series("", ordered.index)
    follows = (point == point.shift()).sum()
    return bool(follows <= (len(point) - point.nunique()) / 2)


def failures(frame: pd.DataFrame) -> list[str]:
    """What failed, for the top of a report: how many runs, why, and which points have no result."""
    failed = frame[frame["error"].notna()]
    if failed.empty:
        return []
    reason = " ".join(str(failed["error"].value_counts().index[0]).split()).removesuffix(".")
    found = [f"{len(failed)} of {_count(len(frame), 'run')} failed, most often: {reason}."]
    lost = _lost(frame[frame["role"] == MEASURED])
    if lost:
        more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        are = "point has" if len(lost) == 1 else "points have"
        names = "; ".join(lost[:MOST_NAMED])
        found.append(f"{len(lost)} {are} no result, because every run failed: {names}{more}.")
    return found


def _lost(tried: pd.DataFrame) -> list[str]:
    """The names of the points of which every run failed."""
    keys = axes(tried.assign(error=None)) or ["way"]
    names = pd.Series([name_point(row, keys) for _, row in tried.iterrows()], tried.index, object)
    worked = set(names[tried["error"].isna()])
    return [name for name in dict.fromkeys(names) if name not in worked]


def _noisy(runs: pd.DataFrame) -> list[str]:
    table = points(runs, metrics=("iops",))
    width = (table["iops_high"] - table["iops_low"]) / 2 / table["iops"]
    bad = width[(width > NOISY) & (table["n"] > 1)].sort_values(ascending=False)
    if bad.empty:
        return []
    worst = table.loc[bad.index[0]]
    name = name_point(worst, axes(runs))
    return [
        f"{len(bad)} of {_count(len(table), 'point')} {'is' if len(bad) == 1 else 'are'} noisy "
        f"(the IOPS are uncertain by more than "
        f"±{NOISY:.0%}). The worst is {name}, {_uncertainty(worst, bad.iloc[0])}."
    ]


def _uncertainty(point: pd.Series, width: float) -> str:
    """In percent, if that is less than the median itself."""
    if width < 1:
        return f"with ±{width:.0%}"
    low, high = (style.short(point[f"iops_{end}"]) for end in ("low", "high"))
    return f"whose median lies somewhere between {low} and {high}"


def _drift(runs: pd.DataFrame) -> list[str]:
    """Compares each run with its point's median, in the order in which the runs took place."""
    keys = axes(runs)
    ordered = runs.sort_values([name for name in ("source", "order") if name in runs])
    if len(ordered) < FEWEST_FOR_DRIFT:
        return []
    middle = (
        ordered.groupby(keys, dropna=False, sort=False)["iops"].transform("median") if keys else 1.0
    )
    resemblance = stats.autocorrelation((ordered["iops"] / middle).to_numpy())
    # For independent runs, the value is within 2 / sqrt(n) in 95% of all cases.
    if resemblance <= 2 / np.sqrt(len(ordered)):
        return []
    return [
        f"The machine drifted: each run resembles the run before it (lag-1 autocorrelation "
        f"{resemblance:.2f} over {len(ordered)} runs). Trust only ratios of interleaved runs."
    ]


def _load(runs: pd.DataFrame) -> list[str]:
    """Whether other work used the CPUs. The load average contains the sweep's own processes."""
    if "host_load" not in runs or "elapsed_s" not in runs:
        return []
    spent = [runs[name] for name in _CPU_TIMES if name in runs]
    own = (sum(each.fillna(0) for each in spent) / runs["elapsed_s"]).mean() if spent else 0.0
    load = pd.to_numeric(runs["host_load"]).dropna()
    others = load - own
    per_cpu = others / runs["host_cpus"] if "host_cpus" in runs else others
    if load.empty or per_cpu.median() < BUSY_LOAD:
        return []
    cpus = f" on {int(runs['host_cpus'].min())} CPUs" if "host_cpus" in runs else ""
    low, high = f"{load.min():.1f}", f"{load.max():.1f}"
    between = low if low == high else f"{low} to {high}"
    return [
        f"The machine did other work: before the runs, its load average was {between}{cpus}, "
        f"of which the sweep itself explains about {own:.1f}."
    ]


def _steal(runs: pd.DataFrame) -> list[str]:
    if "host_steal_percent" not in runs:
        return []
    stolen = pd.to_numeric(runs["host_steal_percent"]).fillna(0)
    many = int((stolen > STOLEN_PERCENT).sum())
    return (
        [
            f"The hypervisor took CPU time from this machine in {many} of "
            f"{_count(len(runs), 'run')} "
            f"(up to {stolen.max():.1f}% steal)."
        ]
        if many
        else []
    )


def _full(runs: pd.DataFrame) -> list[str]:
    """In how many runs a process used its whole CPU, so that it limited the IOPS."""
    found = []
    for who, name in (("fio", "fio"), ("backend", "The back-end")):
        if f"{who}_user_s" not in runs or "elapsed_s" not in runs:
            continue
        threads = _numbers_of_jobs(runs) if who == "fio" and "numjobs" in runs else 1
        share = (runs[f"{who}_user_s"] + runs[f"{who}_system_s"]) / runs["elapsed_s"] / threads
        # A busy wait takes its whole CPU by design.
        full = int(((share > FULL_CPU) & ((who != "fio") | (runs["way"] != "busy"))).sum())
        if full:
            found.append(
                f"{name} used a whole CPU in {full} of {_count(len(runs), 'run')}: "
                "there, it may be what limited the IOPS."
            )
    return found


def _numbers_of_jobs(runs: pd.DataFrame) -> pd.Series:
    """numjobs, which a user may write as 0x10; 1 where it is not known."""
    return runs["numjobs"].map(lambda value: values.number("numjobs", value) or 1.0)


def _restarts(runs: pd.DataFrame) -> list[str]:
    if "reconnects" not in runs:
        return []
    hit = runs[pd.to_numeric(runs["reconnects"]).fillna(0) > 0]
    if hit.empty:
        return []
    counted = {name: pd.to_numeric(hit[name]) for name in RESTARTS}
    return [
        f"In {len(hit)} of {_count(len(runs), 'run')}, the back-end hung up and came back "
        f"({_count(int(counted['reconnects'].sum()), 'time')} in all). It was away for "
        f"{style.duration(counted['longest_away_ns'].max())} at most and "
        f"{style.duration(counted['away_ns'].sum())} in all; {int(counted['replayed'].sum())} "
        "requests were sent again. The numbers of these runs contain the times without a back-end."
    ]


def _few(runs: pd.DataFrame) -> list[str]:
    keys = axes(runs)
    repeats = (
        runs.groupby(keys, dropna=False, sort=False).size() if keys else pd.Series([len(runs)])
    )
    found = []
    if (repeats < FEWEST_RUNS).any():
        fewest = int(repeats.min())
        reached = f"only {stats.order_ranks(fewest)[1]:.0%} confidence"
        few = int((repeats < FEWEST_RUNS).sum())
        found.append(
            f"{few} of {_count(len(repeats), 'point')} {'has' if few == 1 else 'have'} fewer than "
            f"{FEWEST_RUNS} runs: "
            + (f"intervals have {reached}." if fewest > 1 else "one run has no interval.")
        )
    scarce = int((runs["ios"] < FEWEST_IOS).sum())
    if scarce:
        found.append(
            f"{scarce} of {_count(len(runs), 'run')} did fewer than {FEWEST_IOS} I/Os, so "
            f"{'it has' if scarce == 1 else 'they have'} no p99."
        )
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
