# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables: one row for each run of sweeps and fio's JSON files, or one row for each point.

This file reads results into pandas frames, and owns the columns that are derived from them. It
is called from one thread, reads files and changes none. It draws nothing and gives no verdict;
plots.py and checks.py do that.

Columns are named after fio's options, the engine's options and the fields of results/record.py.
Derived columns are way (the way of waiting, or the name of another engine), way_order, cpu_us,
fio_cpu_us, backend_cpu_us (µs of CPU per I/O) and NAME_per_io for each counter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyfio_virtio.analysis import latency, stats
from pyfio_virtio.analysis.latency import Histogram
from pyfio_virtio.engine.counters import REAPED
from pyfio_virtio.fio.output import (
    DIRECTIONS,
    PERCENTILE_COLUMNS,
    FioJob,
    merge_bins,
    read_fio_json,
    summarise,
)
from pyfio_virtio.results.record import MEASURED, Row, typed
from pyfio_virtio.results.results import FIO_JSON, SAMPLES, ResultsError, open_sweep

# fio's defaults, for options that a job does not name.
FIO_DEFAULTS: Row = {"rw": "read", "bs": "4k", "iodepth": 1, "numjobs": 1}
ENGINE = "fio_virtio"
ALL_JOBS = -1
HISTOGRAM_LOGS = "*_clat_hist.*log"  # the logs that fio writes with write_hist_log
# The metrics that are estimated for each point, if the column exists.
METRICS = (
    "iops",
    "bw_bytes",
    "lat_mean_ns",
    *PERCENTILE_COLUMNS,
    "cpu_us",
    "fio_cpu_us",
    "backend_cpu_us",
)
_FOR_HISTOGRAMS = ("fio_json", "job_index", "rate_iops", "iodepth")
# Options that say how a run was carried out, and not what was measured.
_NOT_AXES = {"runtime", "ramp_time", "time_based", "filename", "ioengine", "stats_file", "name"}


def load(*paths: str | Path) -> pd.DataFrame:
    """Every run of the given sweep folders and fio JSON files, one row for each."""
    rows = [row for path in paths for row in _rows(Path(path))]
    if not rows:
        raise ResultsError(f"no run in {', '.join(map(str, paths))}")
    return derive(pd.DataFrame(rows))


def _rows(path: Path) -> list[Row]:
    return _sweep_rows(path) if path.is_dir() else _fio_rows(path)


def _sweep_rows(path: Path) -> list[Row]:
    sweep = open_sweep(path)
    return [
        {
            **row,
            "source": str(path),
            "fio_json": str(sweep.run_folder(row["hash"], row["repeat"]) / FIO_JSON),
            "job_index": ALL_JOBS,
            "option_names": tuple(row["option_names"]),
            "counter_names": tuple(row["counter_names"]),
        }
        for row in sweep.rows()
    ]


def _fio_rows(path: Path) -> list[Row]:
    run = read_fio_json(path)
    return [_fio_row(job, run.version, path, index) for index, job in enumerate(run.jobs)]


def _fio_row(job: FioJob, version: str, path: Path, index: int) -> Row:
    options = {name: typed(value) for name, value in job.options.items()}
    busy_s = job.runtime_ms / 1000 * (job.user_percent + job.system_percent) / 100
    total = summarise(job.directions.values())
    row: Row = {
        **FIO_DEFAULTS,
        **options,
        **vars(total),
        "engine": str(options.get("ioengine", "psync")),
        "fio_version": version,
        "jobname": job.name,
        "hostname": job.hostname,
        "role": MEASURED,
        "source": str(path),
        "fio_json": str(path),
        "job_index": index,
        "order": index,
        "repeat": 1,
        "error": f"fio's error {job.error}" if job.error else None,
        "fio_user_s": busy_s,
        "fio_system_s": 0.0,
        "option_names": tuple({**FIO_DEFAULTS, **options}),
        "counter_names": (),
    }
    for name in DIRECTIONS:
        summary = summarise([job.directions[name]])
        row.update({f"{name}_{column}": value for column, value in vars(summary).items()})
    return row


# ---- derived columns -----------------------------------------------------------------


def derive(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds the derived columns for which the frame has the data."""
    frame = frame.copy()
    ways = [_way(row) for row in _columns(frame, ("engine", "wait", "sleepy_poll"))]
    frame["way"] = [label for label, _ in ways]
    frame["way_order"] = [order for _, order in ways]
    ios = frame["ios"].where(frame["ios"] > 0)
    for who in ("fio", "backend"):
        if f"{who}_user_s" in frame:
            spent = frame[f"{who}_user_s"] + frame[f"{who}_system_s"]
            frame[f"{who}_cpu_us"] = 1e6 * spent / ios
    both = [frame[name] for name in ("fio_cpu_us", "backend_cpu_us") if name in frame]
    if both:
        frame["cpu_us"] = sum(both[1:], both[0])
    for name in counters(frame):
        # The engine's counters include the ramp, so its own number of I/Os is the divisor.
        frame[f"{name}_per_io"] = pd.to_numeric(frame[name]) / frame.get(REAPED, ios)
    return frame


def _way(row: Sequence[Any]) -> tuple[str, float]:
    """The label of a way and its place in the order: event, sleeps by length, then others."""
    engine, wait, poll = row
    if engine != ENGINE:
        return str(engine), 3e9
    poll_us = float(poll) if _given(poll) else None
    if wait in ("busy", "adaptive"):
        return str(wait), {"busy": 1e9, "adaptive": 2e9}[wait]
    if wait == "event" or poll_us == 0:
        return "event", 0.0
    if wait == "sleepy" and poll_us is None:
        poll_us = 50.0
    # The engine's default is wait=adaptive.
    return (f"sleepy {poll_us:g} µs", poll_us) if poll_us else ("adaptive", 2e9)


def _given(value: object) -> bool:
    return value is not None and value == value and value != ""


def _columns(frame: pd.DataFrame, names: Sequence[str]) -> Iterable[Sequence[Any]]:
    empty = [None] * len(frame)
    return zip(*(frame[name].tolist() if name in frame else empty for name in names), strict=True)


def counters(frame: pd.DataFrame) -> list[str]:
    """The engine's counters that the frame has."""
    return [name for name in _named(frame, "counter_names") if name != REAPED]


def options(frame: pd.DataFrame) -> list[str]:
    """All options that at least one run of the frame was given."""
    return _named(frame, "option_names")


def _named(frame: pd.DataFrame, column: str) -> list[str]:
    if column not in frame:
        return []
    names: dict[str, None] = {}
    for group in frame[column].unique():
        names.update(dict.fromkeys(group))
    return [name for name in names if name in frame]


def axes(frame: pd.DataFrame) -> list[str]:
    """The names of what varies: the way, if it does, and the options that differ between runs."""
    runs = measured(frame)
    names = [name for name in options(frame) if name not in _NOT_AXES | {"wait", "sleepy_poll"}]
    varying = [name for name in names if runs[name].nunique(dropna=False) > 1]
    return (["way"] if runs["way"].nunique() > 1 else []) + varying


def fixed(frame: pd.DataFrame) -> Row:
    """The options that all runs share, with their values, for a caption."""
    runs = measured(frame)
    names = [name for name in options(frame) if runs[name].nunique(dropna=False) == 1]
    shared = {name: runs[name].iloc[0] for name in names if name not in ("wait", "sleepy_poll")}
    return {name: value for name, value in shared.items() if _given(value)}


def measured(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs of the sweep's points that succeeded, without controls and failures."""
    return frame[(frame["role"] == MEASURED) & frame["error"].isna()]


def require_numbers(frame: pd.DataFrame, column: str) -> None:
    """Refuses a column that does not exist or does not hold numbers."""
    if column not in frame or not pd.api.types.is_numeric_dtype(frame[column]):
        raise ResultsError(f"{column} is no column of numbers", "", "choose one such as iops")


def column_names(frame: pd.DataFrame) -> list[str]:
    """The columns' names as text."""
    return [str(name) for name in frame.columns]


def extreme(frame: pd.DataFrame, column: str, largest: bool = True) -> pd.Series:
    """The row in which a column has its largest or smallest value."""
    values = frame[column].to_numpy(float)
    return frame.iloc[int(np.nanargmax(values if largest else -values))]


# ---- points ----------------------------------------------------------------------------


def points(
    frame: pd.DataFrame, by: Sequence[str] | None = None, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """One row for each combination of by (default: all axes), with METRIC_low and METRIC_high.

    The values are medians of the runs. But percentiles are taken from all runs' I/Os together if
    fio kept bins. The intervals are those of the runs, and confidence is their real confidence.
    """
    runs = measured(frame)
    keys = list(by if by is not None else axes(frame)) or ["engine"]
    known = [name for name in metrics if name in runs]
    ratios = [f"{name}_per_io" for name in counters(frame)]
    groups = _groups(runs, keys)
    first = runs.iloc[[index[0] for index in groups]]
    names = list(dict.fromkeys((*keys, "way", "way_order")))
    columns = {name: first[name].to_numpy() for name in names}
    columns["n"] = np.array([len(index) for index in groups])
    columns |= _estimates(runs[known + ratios], groups, known)
    table = pd.DataFrame(columns)
    merged = [name for name in known if name in PERCENTILE_COLUMNS]
    if merged:
        slim = runs[[name for name in _FOR_HISTOGRAMS if name in runs]]
        better = pd.DataFrame([_merged(slim.iloc[index], merged) for index in groups])
        table[better.columns] = better.combine_first(table)[better.columns]
    order = ["way_order" if key == "way" else key for key in keys]
    return table.sort_values(order, kind="stable", ignore_index=True)


def _groups(runs: pd.DataFrame, keys: Sequence[str]) -> list[NDArray[np.intp]]:
    indices = runs.groupby(list(keys), dropna=False, sort=False).indices
    return [np.asarray(index) for index in indices.values()]


def _estimates(
    runs: pd.DataFrame, groups: Sequence[NDArray[np.intp]], known: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Medians of all columns and bounds of the known ones; groups of equal size go together."""
    values = runs.apply(pd.to_numeric).to_numpy(float)
    shape = (len(groups), values.shape[1])
    middle, low, high = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    confidence = np.full(len(groups), np.nan)
    for size in {len(index) for index in groups}:
        which = [place for place, index in enumerate(groups) if len(index) == size]
        stack = values[np.array([groups[place] for place in which])].swapaxes(1, 2)
        middle[which] = np.median(stack, axis=-1)
        low[which], high[which], confidence[which] = stats.median_bounds(stack)
    result: dict[str, NDArray[Any]] = {"confidence": confidence}
    for place, name in enumerate(runs.columns):
        result[name] = middle[:, place]
        if name in known:
            result[f"{name}_low"], result[f"{name}_high"] = low[:, place], high[:, place]
    return result


def _merged(runs: pd.DataFrame, columns: Sequence[str]) -> Row:
    """Percentiles of all these runs' I/Os, and the corrected ones if the rate was set."""
    whole = histogram(runs) if columns else latency.EMPTY
    if not whole.total:
        return {}
    row: Row = {name: latency.percentile(whole, PERCENTILE_COLUMNS[name]) for name in columns}
    interval = rate_interval_ns(runs)
    if interval:
        right = latency.corrected(whole, interval)
        for name in columns:
            row[f"{name}_corrected"] = latency.percentile(right, PERCENTILE_COLUMNS[name])
    return row


# ---- the files of a run ---------------------------------------------------------------------


@lru_cache(maxsize=20_000)
def _job_histogram(path: str, index: int, direction: str | None) -> Histogram:
    if not Path(path).is_file():
        return latency.EMPTY
    jobs = read_fio_json(Path(path)).jobs
    chosen = jobs if index == ALL_JOBS else jobs[index : index + 1]
    wanted = [direction] if direction else DIRECTIONS
    return latency.from_bins(merge_bins(job.directions[name] for job in chosen for name in wanted))


def histogram(frame: pd.DataFrame, direction: str | None = None) -> Histogram:
    """The latencies of all the frame's runs together; empty if fio kept no bins."""
    places = zip(frame["fio_json"], frame["job_index"], strict=True)
    return latency.merge(_job_histogram(path, index, direction) for path, index in places)


def rate_interval_ns(frame: pd.DataFrame) -> float | None:
    """The time between two I/Os of one slot; None unless all runs have the same set rate."""
    rate, depth = _only(frame, "rate_iops"), _only(frame, "iodepth")
    return latency.interval_at_rate(rate, int(depth or 1)) if rate else None


def _only(frame: pd.DataFrame, column: str) -> float | None:
    values = frame[column].dropna().unique().tolist() if column in frame else []
    return float(values[0]) if len(values) == 1 else None


def samples(frame: pd.DataFrame) -> pd.DataFrame:
    """The samples of the frame's runs, by the time since fio's start; may be empty."""
    tables = []
    for path in frame["fio_json"]:
        file = Path(path).with_name(SAMPLES)
        if file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            tables.append(pd.DataFrame([json.loads(line) for line in lines]).assign(run=path))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def latency_over_time(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads fio's histogram logs: times in s, latencies in ns, counts by time and latency."""
    counts: dict[float, np.ndarray] = {}
    for path in sorted(folder.glob(HISTOGRAM_LOGS)):
        for line in path.read_text(encoding="ascii").splitlines():
            time_ms, _direction, _size, *bins = map(float, line.split(","))
            counts[time_ms] = counts.get(time_ms, 0) + np.array(bins)
    times = np.array(sorted(counts))
    table = np.array([counts[time] for time in times])
    width = table.shape[1] if table.size else 0
    return times / 1000, bin_latencies_ns(width), table


def bin_latencies_ns(count: int) -> np.ndarray:
    """The middle of each of fio's bins: 128 bins of 1 ns, then 64 for each doubling."""
    index = np.arange(count)
    doubling = np.maximum(index // 64 - 1, 0)
    middle = (index % 64 + 64.5) * 2.0**doubling
    return np.where(index < 128, index, middle)
