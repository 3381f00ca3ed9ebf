# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads fio's JSON: jobs, directions, latency bins.

Owns how fio's output formats json and json+ are read, of one process or of several clients, and
how they are summarised. Everything is pure except read_fio_json(), which reads one file. Any
thread may call it. Every field may be missing. Percentiles are never averaged.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

from pyfio_virtio.errors import PyfioVirtioError

DIRECTIONS = ("read", "write", "trim")
# A percentile is reported only if at least ten I/Os lie beyond it, because fewer would make it a
# matter of chance. So p99 needs 1,000 I/Os, and p99.99 needs 100,000.
FEWEST_BEYOND = 10
_ALL_CLIENTS = "All clients"


class FioJsonError(PyfioVirtioError):
    """A file that should hold fio's JSON does not."""


@dataclass(frozen=True)
class Summary:
    """One direction, or all of them together. A value is None if fio's samples cannot tell it."""

    iops: float = 0.0
    bw_bytes: float = 0.0
    ios: int = 0
    lat_mean_ns: float | None = None
    lat_max_ns: float | None = None
    p50_ns: float | None = None
    p90_ns: float | None = None
    p99_ns: float | None = None
    p99_9_ns: float | None = None
    p99_99_ns: float | None = None


# The percentile of each column: p99_9_ns is the 99.9th.
PERCENTILE_COLUMNS = {
    field.name: float(field.name[1:-3].replace("_", "."))
    for field in fields(Summary)
    if field.name.startswith("p")
}


@dataclass(frozen=True)
class Direction:
    """The results of a job in one direction. Latencies are in ns; bins map ns to counts (json+)."""

    iops: float
    bw_bytes: float
    ios: int
    samples: int
    mean_ns: float
    max_ns: float
    percentiles: Mapping[float, float]
    bins: Mapping[int, int]


@dataclass(frozen=True)
class FioJob:
    """One job (or group, with group_reporting) of a run."""

    name: str
    hostname: str
    error: int
    options: Mapping[str, str]
    directions: Mapping[str, Direction]
    runtime_ms: float
    user_percent: float
    system_percent: float


@dataclass(frozen=True)
class FioRun:
    """One JSON document from fio."""

    version: str
    jobs: tuple[FioJob, ...]


def is_supported(percent: float, samples: float) -> bool:
    """Whether this many samples are enough for this percentile."""
    return samples * (100 - percent) >= 100 * FEWEST_BEYOND - 1e-6


def read_fio_json(path: Path) -> FioRun:
    """Reads one file. With --status-interval it has several documents, and the last one counts."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as failure:
        raise FioJsonError(f"cannot read {path}", failure.strerror or str(failure)) from failure
    return parse_fio_json(text, str(path))


def parse_fio_json(text: str, source: str = "fio's output") -> FioRun:
    """Parses the last complete document. fio's notes may stand before, between and after."""
    decoder, document, start = json.JSONDecoder(), None, _next_document(text, 0)
    while start >= 0:
        try:
            document, end = decoder.raw_decode(text, start)
        except ValueError:
            end = start + 1
        start = _next_document(text, end)
    if not isinstance(document, dict) or not _raw_jobs(document):
        raise FioJsonError(
            f"{source} is not fio's JSON",
            "it has no complete document with jobs in it",
            "run fio with --output-format=json+",
        )
    return _run(document)


def _next_document(text: str, start: int) -> int:
    """The place of the next document, which begins with { at the start of a line; -1: none.

    If no line of the text begins with {, its first { counts.
    """
    if start == 0:
        return 0 if text.startswith("{") else max(text.find("\n{") + 1, 0) or text.find("{")
    following = text.find("\n{", start)
    return following + 1 if following >= 0 else -1


def _raw_jobs(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    jobs = document.get("jobs") or document.get("client_stats") or []
    named: list[Mapping[str, Any]] = (
        [job for job in jobs if isinstance(job, dict)] if isinstance(jobs, list) else []
    )
    single = [job for job in named if job.get("jobname") != _ALL_CLIENTS]
    return single or named


def _run(document: Mapping[str, Any]) -> FioRun:
    shared = _section(document, "global options")
    jobs = tuple(_job(job, shared) for job in _raw_jobs(document))
    version = str(document.get("fio version", "unknown"))
    return FioRun(version, jobs)


def _job(raw: Mapping[str, Any], shared: Mapping[str, Any]) -> FioJob:
    options = {**shared, **_section(raw, "job options")}
    return FioJob(
        name=str(raw.get("jobname", "")),
        hostname=str(raw.get("hostname", "")),
        error=int(_number(raw, "error")),
        options={str(key): str(value) for key, value in options.items()},
        directions={name: _direction(_section(raw, name)) for name in DIRECTIONS},
        runtime_ms=_number(raw, "job_runtime"),
        user_percent=_number(raw, "usr_cpu"),
        system_percent=_number(raw, "sys_cpu"),
    )


def _direction(raw: Mapping[str, Any]) -> Direction:
    # With lat_percentiles=1 the bins are of the total latency, otherwise of the completion latency.
    whole, completion = _section(raw, "lat_ns"), _section(raw, "clat_ns")
    detailed = whole if "percentile" in whole else completion
    samples = int(_number(detailed, "N"))
    percentiles = _numbers(_section(detailed, "percentile"))
    bins = _numbers(_section(detailed, "bins"))
    return Direction(
        iops=_number(raw, "iops"),
        bw_bytes=_number(raw, "bw_bytes") or 1024 * _number(raw, "bw"),
        ios=int(_number(raw, "total_ios")),
        samples=samples,
        mean_ns=_number(whole, "mean") or _number(completion, "mean"),
        max_ns=_number(whole, "max") or _number(completion, "max"),
        percentiles={key: value for key, value in percentiles.items() if key > 0},
        bins={int(key): int(value) for key, value in sorted(bins.items())},
    )


def summarise(directions: Iterable[Direction]) -> Summary:
    """Summarises several directions as one. The percentiles come from the sum of their bins."""
    busy = [each for each in directions if each.ios]
    samples = sum(each.samples for each in busy)
    total_ns = sum(each.mean_ns * each.samples for each in busy)
    return Summary(
        iops=sum(each.iops for each in busy),
        bw_bytes=sum(each.bw_bytes for each in busy),
        ios=sum(each.ios for each in busy),
        lat_mean_ns=total_ns / samples if samples else None,
        lat_max_ns=max(each.max_ns for each in busy) if samples else None,
        **_percentiles(busy, samples),
    )


def merge_bins(directions: Iterable[Direction]) -> dict[int, int]:
    """The sum of their latency bins, ascending."""
    total: dict[int, int] = {}
    for each in directions:
        for value, count in each.bins.items():
            total[value] = total.get(value, 0) + count
    return dict(sorted(total.items()))


def _percentiles(busy: list[Direction], samples: int) -> dict[str, float | None]:
    """The columns p50_ns and so on. Without bins, only a single direction has percentiles."""
    if all(each.bins for each in busy):
        return _percentiles_of_bins(merge_bins(busy))
    single = busy[0].percentiles if len(busy) == 1 else {}
    return {
        column: single.get(percent) if is_supported(percent, samples) else None
        for column, percent in PERCENTILE_COLUMNS.items()
    }


def _percentiles_of_bins(bins: Mapping[int, int]) -> dict[str, float | None]:
    values, counts = list(bins), list(bins.values())
    return {
        column: percentile_of_bins(values, counts, percent)
        for column, percent in PERCENTILE_COLUMNS.items()
    }


def percentile_of_bins(
    values: Sequence[float], counts: Iterable[float], percent: float
) -> float | None:
    """The value that `percent` of the counted I/Os did not exceed. `values` must be ascending.

    None if fewer than FEWEST_BEYOND I/Os lie beyond it, because chance would decide it.
    """
    reached = list(accumulate(counts))
    if not reached or not is_supported(percent, reached[-1]):
        return None
    # The product is rounded, because 99.9% of 1000 must be 999, not a little more.
    wanted = round(percent / 100 * reached[-1], 6)
    return float(values[min(bisect_left(reached, wanted), len(reached) - 1)])


def _section(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _number(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _numbers(raw: Mapping[str, Any]) -> dict[float, float]:
    """The entries whose key, a string in JSON, and value are numbers; the others are left out."""
    pairs = {}
    for key, value in raw.items():
        try:
            pairs[float(key)] = float(value)
        except (TypeError, ValueError):
            continue
    return pairs
