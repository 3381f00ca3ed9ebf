# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables: one row for each run of sweeps and fio's JSON files, or one row for each point.

This file reads results into pandas frames, and owns the columns that are derived from them. It
is called from one thread, reads files and changes none. It draws nothing and gives no verdict;
plots.py and checks.py do that.

Columns are named after fio's options, the engine's options and the fields of results/record.py.
Derived columns are way (the way of waiting, or the name of another engine), way_order, cpu_us,
fio_cpu_us, backend_cpu_us (µs of CPU per I/O) and NAME_per_io for each counter. cpu_us is missing
where the CPU time of one side is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyfio_virtio import efficiency
from pyfio_virtio.analysis import fio_files, latency, sources, stats
from pyfio_virtio.analysis.latency import Histogram
from pyfio_virtio.analysis.names import FOLDER, NOT_AXES, SUBJECTS, no_column
from pyfio_virtio.engine.counters import REAPED, sleeps
from pyfio_virtio.fio.directions import PERCENTILE_COLUMNS, merge_bins
from pyfio_virtio.fio.output import read_fio_json
from pyfio_virtio.results import values
from pyfio_virtio.results.record import MEASURED, Row
from pyfio_virtio.results.results import FIO_JSON, HOSTS, RUNS, ResultsError, open_sweep

ENGINE = "fio_virtio"
ALL_JOBS = -1
FIO_DEFAULT_DEPTH = 1
# The metrics that are estimated for each point, if the column exists.
METRICS = (
    "iops",
    *efficiency.SIDES,
    "bw_bytes",
    "lat_mean_ns",
    *PERCENTILE_COLUMNS,
    "cpu_us",
    "fio_cpu_us",
    "backend_cpu_us",
)
_FOR_HISTOGRAMS = ("fio_json", "job_index", "rate_iops", "iodepth")


def load(*paths: str | Path) -> pd.DataFrame:
    """Every run of the given folders of sweeps, fio JSON files, and folders of these files.

    The column folder has their names, and is an axis if there are several folders.
    """
    sources.require_different(paths)
    rows: list[Row] = []
    # Files are repeats or points of one result, unless the user asks for a line of each.
    is_axis = len(paths) > 1 and any(Path(path).is_dir() for path in paths)
    for path, name in zip(paths, sources.names_of(paths), strict=True):
        for row in _rows(Path(path)):
            options = (*row["option_names"], *((FOLDER,) if is_axis else ()))
            rows.append({**row, FOLDER: name, "option_names": options})
    if not rows:
        raise ResultsError(f"no run in {', '.join(map(str, paths))}")
    return derive(_spelled_alike(pd.DataFrame(rows)))


def _rows(path: Path) -> list[Row]:
    if not path.is_dir():
        return fio_files.rows(path)
    if not (path / RUNS).exists() and (found := fio_files.rows_of_folder(path)):
        return found
    return _sweep_rows(path)  # it refuses a folder that has neither


def _spelled_alike(frame: pd.DataFrame) -> pd.DataFrame:
    """Gives values that mean the same (4096 and 4k) the spelling that comes first."""
    bases = _kb_bases(frame)
    for name in options(frame):
        first: dict[str, Any] = {}
        column = frame[name].tolist()
        keys = [
            values.canonical(name, value, base) for value, base in zip(column, bases, strict=True)
        ]
        for key, value in zip(keys, column, strict=True):
            first.setdefault(key, value)
        spelled = [first[key] for key in keys]
        if any(a is not b and a != b and a == a for a, b in zip(column, spelled, strict=True)):
            frame[name] = pd.Series(spelled, frame.index, object).infer_objects()
    return frame


def _kb_bases(frame: pd.DataFrame) -> list[int]:
    given = frame["kb_base"].tolist() if "kb_base" in frame else [None] * len(frame)
    return [1000 if str(each).removesuffix(".0") == "1000" else 1024 for each in given]


def _sweep_rows(path: Path) -> list[Row]:
    sweep = open_sweep(path)
    return [
        {
            "iodepth": FIO_DEFAULT_DEPTH,  # a sweep records each option that it gave to fio
            **row,
            **({"sleeps": sleeps(row)} if "sleeps" in row["counter_names"] else {}),
            "source": str(path),
            "fio_json": str(sweep.run_folder(row["hash"], row["repeat"]) / FIO_JSON),
            "job_index": ALL_JOBS,
            "option_names": tuple(row["option_names"]),
            "counter_names": tuple(row["counter_names"]),
        }
        for row in sweep.rows()
    ]


# ---- derived columns -----------------------------------------------------------------


def derive(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds the derived columns for which the frame has the data."""
    frame = frame.copy()
    ways = [_way(row) for row in _columns(frame, ("engine", "wait", "sleepy_poll"))]
    frame["way"] = [label for label, _ in ways]
    frame["way_order"] = [order for _, order in ways]
    if "iodepth" not in frame:
        frame["iodepth"] = FIO_DEFAULT_DEPTH
    for name in ("lat_mean_ns", *PERCENTILE_COLUMNS):
        if name not in frame:
            frame[name] = np.nan
    ios = frame["ios"].where(frame["ios"] > 0)
    for who in ("fio", "backend"):
        if f"{who}_user_s" in frame:
            spent = frame[f"{who}_user_s"] + frame[f"{who}_system_s"]
            frame[f"{who}_cpu_us"] = 1e6 * spent / ios
    for name in efficiency.SIDES:
        frame[name] = frame[name].astype(float) if name in frame else np.nan
    frame["cpu_us"] = 1e6 / frame[efficiency.BOTH]
    for name in counters(frame):
        # The engine's counters include the ramp, so its own number of I/Os is the divisor.
        frame[f"{name}_per_io"] = pd.to_numeric(frame[name]) / frame.get(REAPED, ios)
    return frame


def _way(row: Sequence[Any]) -> tuple[str, float]:
    """The label of a way and its place in the order: event, sleeps by length, then others."""
    engine, wait, poll = row
    if engine != ENGINE:
        return str(engine), 3e9
    poll_us = values.number("sleepy_poll", poll)
    if wait in ("busy", "adaptive"):
        return str(wait), {"busy": 1e9, "adaptive": 2e9}[wait]
    if wait == "event" or poll_us == 0:
        return "event", 0.0
    if wait == "sleepy" and poll_us is None:
        poll_us = 50.0
    # The engine's default is wait=adaptive.
    return (f"sleepy {poll_us:g} µs", poll_us) if poll_us else ("adaptive", 2e9)


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
    names = [name for name in options(frame) if name not in NOT_AXES | {"wait", "sleepy_poll"}]
    varying = [name for name in names if runs[name].nunique(dropna=False) > 1]
    # Percentiles of lat and of clat are never mixed.
    kinds = [name for name in ("percentiles_of",) if name in runs and runs[name].nunique() > 1]
    return (["way"] if runs["way"].nunique() > 1 else []) + varying + kinds


def subject(frame: pd.DataFrame) -> str:
    """The column whose values are beside each other: the first of SUBJECTS that varies, or way."""
    varied = axes(frame)
    return next((name for name in SUBJECTS if name in varied), "way")


def in_turns_axes(frame: pd.DataFrame) -> list[str]:
    """The axes whose values one sweep measured in turns, so that claims are possible."""
    return [name for name in axes(frame) if name != FOLDER]


def fixed(frame: pd.DataFrame) -> Row:
    """The options that all runs share, with their values, for a caption."""
    runs = measured(frame)
    names = [name for name in options(frame) if runs[name].nunique(dropna=False) == 1]
    shared = {name: runs[name].iloc[0] for name in names if name not in ("wait", "sleepy_poll")}
    return {name: value for name, value in shared.items() if not values.is_missing(value)}


def measured(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs of the sweep's points that succeeded, without controls and failures."""
    return frame[(frame["role"] == MEASURED) & frame["error"].isna()]


def require_numbers(frame: pd.DataFrame, column: str) -> None:
    """Refuses a column that does not exist or does not hold numbers."""
    if column not in frame or not pd.api.types.is_numeric_dtype(frame[column]):
        numeric = frame.select_dtypes("number").columns.map(str).tolist()
        raise no_column(f"{column} is no column of numbers", column, numeric)


def column_names(frame: pd.DataFrame) -> list[str]:
    """The columns' names as text."""
    return [str(name) for name in frame.columns]


def as_json(value: object) -> object:
    """A value for JSON: None if it is missing, and whole numbers without pandas' fraction."""
    if values.is_missing(value) or value in (np.inf, -np.inf):
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def extreme(frame: pd.DataFrame, column: str, largest: bool = True) -> pd.Series:
    """The row in which a column has its largest or smallest value."""
    values = frame[column].to_numpy(float)
    return frame.iloc[int(np.nanargmax(values if largest else -values))]


# ---- points ----------------------------------------------------------------------------


def points(
    frame: pd.DataFrame, by: Sequence[str] | None = None, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """One row for each combination of by (default: all axes), with METRIC_low and METRIC_high.

    The values are medians of the runs that have one, METRIC_n is their number, and n is that of the
    first metric. But percentiles are taken from all runs' I/Os together if fio kept bins. The
    intervals are those of the runs, and confidence is the real confidence for n runs.
    """
    runs = measured(frame)
    keys = list(by if by is not None else axes(frame)) or ["engine"]
    known = [name for name in metrics if name in runs]
    ratios = [f"{name}_per_io" for name in counters(frame)]
    groups = _groups(runs, keys)
    first = runs.iloc[[index[0] for index in groups]]
    names = list(dict.fromkeys((*keys, "way", "way_order")))
    columns = {name: first[name].to_numpy() for name in names}
    columns |= _estimates(runs[known + ratios], groups, known)
    sizes = np.array([len(index) for index in groups])
    columns["n"] = columns[f"{known[0]}_n"] if known else sizes
    columns["confidence"] = np.array([stats.median_confidence(n) for n in columns["n"]])
    table = pd.DataFrame(columns)
    merged = [name for name in known if name in PERCENTILE_COLUMNS]
    if merged:
        slim = runs[[name for name in _FOR_HISTOGRAMS if name in runs]]
        better = pd.DataFrame([_merged(slim.iloc[index], merged) for index in groups])
        table[better.columns] = better.combine_first(table)[better.columns]
    return in_order(table, keys).reset_index(drop=True)


def in_order(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The rows in the order of their values, which is that of values.order() and of the ways."""
    places = [_places(table, key) for key in reversed(keys)]
    return table.iloc[np.lexsort(places)] if places and len(table) else table


def _places(table: pd.DataFrame, key: str) -> NDArray[np.float64]:
    """For each row, a number that sorts as its value does."""
    if key == "way" and "way_order" in table:
        return table["way_order"].to_numpy(float)
    column = table[key].tolist()
    known = {values.order(key, value) for value in column}
    place = {value: number for number, value in enumerate(sorted(known))}
    return np.array([place[values.order(key, value)] for value in column], float)


def canonical(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The columns as texts that are equal for values with the same meaning, whatever the frame."""
    bases = _kb_bases(frame)
    texts = {
        key: [values.canonical(key, v, b) for v, b in zip(frame[key], bases, strict=True)]
        for key in keys
    }
    return pd.DataFrame(texts, index=frame.index)


def with_value(frame: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    """The rows that have this value in a column, in any spelling."""
    wanted = [values.canonical(column, value, base) for base in _kb_bases(frame)]
    return frame[
        (frame[column].astype(str) == value) | (canonical(frame, [column])[column] == wanted)
    ]


def grouped(frame: pd.DataFrame, keys: Sequence[str]) -> list[tuple[Row, pd.DataFrame]]:
    """The frame's rows by their values of keys, in the order of the values."""
    found = []
    for index in _groups(frame, keys):
        part = frame.iloc[index]
        found.append(({key: part[key].iloc[0] for key in keys}, part))
    heads = pd.DataFrame([part.iloc[0] for _, part in found]).reset_index(drop=True)
    return [found[place] for place in in_order(heads, keys).index] if found else []


def _groups(runs: pd.DataFrame, keys: Sequence[str]) -> list[NDArray[np.intp]]:
    indices = runs.groupby(list(keys), dropna=False, sort=False).indices
    return [np.asarray(index) for index in indices.values()]


def _estimates(
    runs: pd.DataFrame, groups: Sequence[NDArray[np.intp]], known: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Medians of all columns, and bounds and numbers of the known ones.

    A value that is missing in a run does not count. Groups of equal size go together.
    """
    table = runs.apply(pd.to_numeric).to_numpy(float, copy=True)
    table[~np.isfinite(table)] = np.nan
    sizes = np.array([np.isfinite(table[index]).sum(axis=0) for index in groups])
    middle, low, high = (np.full(sizes.shape, np.nan) for _ in range(3))
    for size in set(sizes.flat) - {0}:
        rows, columns = np.nonzero(sizes == size)
        # NaN sorts last, so each line begins with its values.
        stack = np.array(
            [np.sort(table[groups[int(r)], c])[:size] for r, c in zip(rows, columns, strict=True)]
        )
        middle[rows, columns] = np.median(stack, axis=-1)
        low[rows, columns], high[rows, columns], _ = stats.median_bounds(stack)
    result: dict[str, NDArray[Any]] = {}
    for place, name in enumerate(runs.columns):
        result[name] = middle[:, place]
        if name in known:
            result[f"{name}_low"], result[f"{name}_high"] = low[:, place], high[:, place]
            result[f"{name}_n"] = sizes[:, place]
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
    jobs = [job for each in _documents(Path(path)) for job in read_fio_json(each).loads()]
    chosen = jobs if index == ALL_JOBS else jobs[index : index + 1]
    wanted = [
        each for job in chosen for name, each in job.directions.items() if direction in (None, name)
    ]
    return latency.from_bins(merge_bins(wanted))


def _documents(path: Path) -> list[Path]:
    """fio's JSON of a run: one file, or one of each host."""
    if path.is_file():
        return [path]
    return sorted(path.parent.glob(f"{HOSTS}/*/{FIO_JSON}"))


def histogram(frame: pd.DataFrame, direction: str | None = None) -> Histogram:
    """The latencies of all the frame's runs together; empty if fio kept no bins."""
    places = zip(frame["fio_json"], frame["job_index"], strict=True)
    return latency.merge(_job_histogram(path, index, direction) for path, index in places)


def rate_interval_ns(frame: pd.DataFrame) -> float | None:
    """The time between two I/Os of one slot; None unless all runs have the same set rate."""
    rate, depth = _only(frame, "rate_iops"), _only(frame, "iodepth")
    return latency.interval_at_rate(rate, int(depth or 1)) if rate else None


def _only(frame: pd.DataFrame, column: str) -> float | None:
    known = frame[column].dropna().unique().tolist() if column in frame else []
    return values.number(column, known[0]) if len(known) == 1 else None
