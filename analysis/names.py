# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of metrics, with the latency that they are of, and why a metric has no values.

fio knows two latencies: lat begins with the submission of an I/O, and clat begins after it. This
file owns that no two of them are mixed under one name. All functions are pure functions of frames,
so any thread may call them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import pandas as pd

from pyfio_virtio import efficiency
from pyfio_virtio.fio.directions import PERCENTILE_COLUMNS
from pyfio_virtio.results.record import BACKEND_NAME, ENGINE_BUILD, FIO_PROGRAM
from pyfio_virtio.results.results import ResultsError

NAMES = {
    "iops": "IOPS",
    "bw_bytes": "bandwidth (bytes/s)",
    "lat_mean_ns": "mean latency",
    "lat_max_ns": "maximum latency",
    "p50_ns": "median latency",
    "p90_ns": "p90 latency",
    "p99_ns": "p99 latency",
    "p99_9_ns": "p99.9 latency",
    "p99_99_ns": "p99.99 latency",
    "latency": "latency",
    efficiency.BOTH: "IOPS per core of fio and the back-end",
    efficiency.FIO: "IOPS per core of fio's side alone",
    efficiency.BACKEND: "IOPS per core of the back-end alone",
    "cpu_us": "µs of CPU per I/O",
    "fio_cpu_us": "µs of fio's CPU per I/O",
    "backend_cpu_us": "µs of the back-end's CPU per I/O",
    "way": "way of waiting (numbers: sleepy_poll in µs)",
    BACKEND_NAME: "back-end",
    ENGINE_BUILD: "build of the engine",
    FIO_PROGRAM: "fio",
}
# The folder or file that a run is from. Folders were not measured in turns, so they are drawn
# beside each other, and nothing is claimed of a difference between them.
FOLDER = "folder"
_USUAL = (
    *("iops", "lat_mean_ns", "p50_ns", "p99_ns", efficiency.BOTH, "cpu_us", "backend_cpu_us"),
    *("iodepth", "bs", "rw", "way", "backend_name"),
)
# The columns whose values are compared, the most likely question first, as one and as several.
# Their values are names that speak for themselves.
SUBJECTS = {
    FOLDER: ("folder", "folders"),
    BACKEND_NAME: ("back-end", "back-ends"),
    ENGINE_BUILD: ("build of the engine", "builds of the engine"),
    FIO_PROGRAM: ("fio", "programs fio"),
    "way": ("way of waiting", "ways of waiting"),
}


# Options that say how a run was carried out, and not what was measured.
NOT_AXES = frozenset(
    ("runtime", "ramp_time", "time_based", "filename", "ioengine", "stats_file", "name")
)


class ColumnError(ResultsError):
    """The user named a column that these results do not have, or that does not fit."""

    exit_status = 2


class NoDataError(ResultsError):
    """A picture would be empty."""


def kind_column(metric: str) -> str | None:
    """The column that says which latency a metric is of; None: the metric is no latency."""
    metric = metric.removesuffix("_corrected")
    prefix = next((d for d in ("read_", "write_", "trim_") if metric.startswith(d)), "")
    bare = metric.removeprefix(prefix)
    if bare in PERCENTILE_COLUMNS or bare == "latency":
        return f"{prefix}percentiles_of"
    return f"{prefix}mean_of" if bare in ("lat_mean_ns", "lat_max_ns") else None


def kinds(frame: pd.DataFrame, metric: str) -> list[str]:
    """The latencies that the metric's values in these runs are of: lat, clat, both or none."""
    column = kind_column(metric)
    if column is None or column not in frame:
        return []
    return sorted(map(str, frame[column].dropna().unique()))


def of_what(frame: pd.DataFrame, metric: str) -> str:
    """ " (lat)" or " (clat)" after the name of a metric; empty if it is no latency."""
    found = kinds(frame, metric)
    return f" ({' and '.join(found)})" if found else ""


def name_of(frame: pd.DataFrame, metric: str) -> str:
    """The name of a metric, such as "p99 latency (lat)"."""
    return NAMES.get(metric, metric.replace("_", " ")) + of_what(frame, metric)


def require_one_kind(metric: str, *frames: pd.DataFrame) -> None:
    """Refuses to put values of lat and of clat together."""
    found = sorted({kind for frame in frames for kind in kinds(frame, metric)})
    if len(found) > 1:
        raise ResultsError(
            f"{metric} cannot be compared",
            "it is of lat in some of these runs, and of clat, without the submission, in others",
            "run fio with lat_percentiles=1 in all of them",
        )


def no_column(what: str, name: str, known: Sequence[str]) -> ColumnError:
    """The error of a column that cannot be used, with the nearest names and the usual ones."""
    near = get_close_matches(name, known, 3, 0.4)
    near += [each for each in known if name in each.split("_") and each not in near][:3]
    advice = f"did you mean {listed(near, 'or')}? " if near else ""
    usual = [each for each in _USUAL if each in known]
    return ColumnError(what, "", f"{advice}choose one such as {', '.join(usual)}")


def require_runs(frame: pd.DataFrame, succeeded: pd.DataFrame) -> None:
    """Refuses to draw if no run succeeded."""
    if not succeeded.empty:
        return
    errors = [str(each) for each in frame["error"].dropna()] if "error" in frame else []
    why = Counter(errors).most_common(1)[0][0] if errors else "there is none"
    raise NoDataError("there is nothing to draw, because no run succeeded", why)


def require_values(table: pd.DataFrame, runs: pd.DataFrame, metric: str) -> None:
    """Refuses to draw an empty table, and says why it is empty."""
    if table.empty:
        raise NoDataError(f"there is no {NAMES.get(metric, metric)} to draw", _why(runs, metric))


def _why(runs: pd.DataFrame, metric: str) -> str:
    column = kind_column(metric)
    if column is None:
        return why_no_cost(runs, metric) or "no run has a value"
    told = runs["no_percentiles"].dropna() if "no_percentiles" in runs else pd.Series(dtype=str)
    reasons = [str(each) for each in told if each]
    if reasons and column.endswith("percentiles_of"):
        return Counter(reasons).most_common(1)[0][0]
    if "lat_mean_ns" not in runs or runs["lat_mean_ns"].isna().all():
        return "fio measured no latency; run it without disable_lat=1 and gtod_reduce=1"
    return "each run has too few I/Os; run longer"


def why_no_cost(runs: pd.DataFrame, metric: str) -> str:
    """Why no run has a value of a metric of CPU time; empty if it is another metric."""
    if metric not in (*efficiency.SIDES, "cpu_us", "fio_cpu_us", "backend_cpu_us"):
        return ""
    fio = "fio_cpu_us" if metric.endswith("cpu_us") else efficiency.FIO
    if metric == fio or fio not in runs or runs[fio].isna().all():
        return "fio's CPU time is not known"
    return f"{efficiency.UNKNOWN}; {fio} is of {efficiency.FIO_ALONE}"


def listed(words: Iterable[str], last_word: str = "and") -> str:
    """A list in a sentence: "a, b and c"."""
    *first, last = list(words)
    return f"{', '.join(first)} {last_word} {last}" if first else last
