# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the files along time in the folders of runs: samples, and fio's histogram logs.

This file reads files and changes none; it is called from one thread. A line that is not what it
should be is refused with its place, because a picture of the other lines would have a gap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pyfio_virtio import files
from pyfio_virtio.results.results import COUNTERS, SAMPLES, ResultsError

HISTOGRAM_LOGS = "*_clat_hist.*log"  # the logs that fio writes with write_hist_log
# The columns of a sample; those of the second line may be missing.
_NEEDED = ("time_s", "is_ramp", "iops")
_OPTIONAL = ("fio_cpu", "backend_cpu", "steal_percent")


def samples(frame: pd.DataFrame) -> pd.DataFrame:
    """The samples of the frame's runs, by the time since fio's start; may be empty."""
    tables = []
    for path in frame["fio_json"]:
        file = Path(path).with_name(SAMPLES)
        rows = list(_samples(file)) if file.is_file() else []
        if rows:
            tables.append(pd.DataFrame(rows).assign(run=path))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _samples(file: Path) -> Iterator[dict[str, float | bool]]:
    for number, line in enumerate(_lines(file), 1):
        try:
            found = json.loads(line)
            sample = {name: float(found[name]) for name in _NEEDED}
            more = {name: float(found.get(name) or 0) for name in _OPTIONAL}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _not_whole(file, number, "a sample") from None
        if not np.isfinite([*sample.values(), *more.values()]).all():
            raise _not_whole(file, number, "a sample")
        yield {**sample, **more, "is_ramp": bool(sample["is_ramp"])}


def absences(frame: pd.DataFrame) -> list[tuple[float, float]]:
    """When the back-ends of the frame's runs were away, in seconds since the jobs began."""
    found = []
    for path in frame["fio_json"]:
        file = Path(path).with_name(COUNTERS)
        for number, line in enumerate(_lines(file), 1) if file.is_file() else ():
            try:
                found += [
                    (float(start), float(end))
                    for queue in json.loads(line)["queues"]
                    for start, end in queue.get("absences", ())
                ]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                raise _not_whole(file, number, "a job's counters") from None
    return sorted(set(found))


def latency_over_time(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads fio's histogram logs: times in s, latencies in ns, counts by time and latency."""
    counts: dict[float, np.ndarray] = {}
    width = 0
    for path in sorted(folder.glob(HISTOGRAM_LOGS)):
        for number, line in enumerate(_lines(path), 1):
            time_ms, bins = _histogram(path, number, line)
            width = width or bins.size
            if bins.size != width:
                raise _not_whole(path, number, "a histogram of fio")
            counts[time_ms] = counts.get(time_ms, 0) + bins
    times = np.array(sorted(counts))
    table = np.array([counts[time] for time in times])
    return times / 1000, bin_latencies_ns(width), table


def _histogram(path: Path, number: int, line: str) -> tuple[float, np.ndarray]:
    try:
        time_ms, _direction, _size, *bins = map(int, line.split(","))
    except ValueError:
        raise _not_whole(path, number, "a histogram of fio") from None
    if not bins or time_ms < 0 or min(bins) < 0 or max(time_ms, *bins) >= 1 << 62:
        raise _not_whole(path, number, "a histogram of fio")
    return float(time_ms), np.array(bins, float)


def _lines(file: Path) -> list[str]:
    try:
        text = files.read_text(file)
    except OSError as failure:
        raise ResultsError(f"cannot read {file}", failure.strerror or str(failure)) from failure
    return [line for line in text.splitlines() if line.strip()]


def _not_whole(file: Path, number: int, what: str) -> ResultsError:
    return ResultsError(f"{file}, line {number}, is not {what}", "", "run this point again")


def bin_latencies_ns(count: int) -> np.ndarray:
    """The middle of each of fio's bins: 128 bins of 1 ns, then 64 for each doubling."""
    index = np.arange(count)
    doubling = np.maximum(index // 64 - 1, 0)
    middle = (index % 64 + 64.5) * 2.0**doubling
    return np.where(index < 128, index, middle)
