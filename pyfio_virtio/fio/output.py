# SPDX-License-Identifier: GPL-2.0-or-later
"""What fio's JSON says: jobs, directions, latency bins.

Owns the reading of fio's output formats json and json+, of one process or of clients,
and its summary. Pure but for read_fio_json(), which reads one file; any thread may call
it. It trusts no field to be there, knows no sweep, and never averages percentiles.
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
# Ten I/Os beyond a percentile are the fewest that make it more than chance:
# so 1,000 for p99 and 100,000 for p99.99.
FEWEST_BEYOND = 10
_ALL_CLIENTS = "All clients"


class FioJsonError(PyfioVirtioError):
    """A file that should hold fio's JSON does not."""


@dataclass(frozen=True)
class Summary:
    """One direction, or all of them together; None where fio's sample cannot tell."""

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


# Column name to percentile: p99_9_ns is the 99.9th.
PERCENTILE_COLUMNS = {
    field.name: float(field.name[1:-3].replace("_", "."))
    for field in fields(Summary)
    if field.name.startswith("p")
}


@dataclass(frozen=True)
class Direction:
    """What a job did in one direction; latencies in ns, bins from ns to count (json+)."""

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
    """One JSON document of fio's."""

    version: str
    jobs: tuple[FioJob, ...]


def is_supported(percent: float, samples: float) -> bool:
    """Whether so many samples carry this percentile."""
    return samples * (100 - percent) >= 100 * FEWEST_BEYOND - 1e-6


def read_fio_json(path: Path) -> FioRun:
    """Read one file; with --status-interval it holds several documents: the last counts."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as failure:
        raise FioJsonError(f"cannot read {path}", failure.strerror or str(failure)) from failure
    return parse_fio_json(text, str(path))


def parse_fio_json(text: str, source: str = "fio's output") -> FioRun:
    """Parse the last complete document, past any notes before, between or after."""
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
            "no complete document with jobs in it",
            "run fio with --output-format=json+",
        )
    return _run(document)


def _next_document(text: str, start: int) -> int:
    """Where fio's next opening brace is: a line of its own; any brace failing that."""
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
    # With lat_percentiles=1 the whole latency has bins; else completion's has them.
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
    """All the given directions as one; percentiles from the sum of their bins."""
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
    """Columns p50_ns and so on; without bins only a lone direction has any to give."""
    if all(each.bins for each in busy):
        return _percentiles_of_bins(merge_bins(busy))
    lone = busy[0].percentiles if len(busy) == 1 else {}
    return {
        column: lone.get(percent) if is_supported(percent, samples) else None
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
    """The value that `percent` of the counted I/Os did not exceed; values ascend.

    None where fewer than FEWEST_BEYOND I/Os lie beyond it, because chance would decide it.
    """
    reached = list(accumulate(counts))
    if not reached or not is_supported(percent, reached[-1]):
        return None
    # The product is rounded: 99.9% of 1000 must be the 999th, not the next.
    wanted = round(percent / 100 * reached[-1], 6)
    return float(values[min(bisect_left(reached, wanted), len(reached) - 1)])


def _section(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _number(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _numbers(raw: Mapping[str, Any]) -> dict[float, float]:
    """Numeric keys that JSON made text; what is no number is left out."""
    pairs = {}
    for key, value in raw.items():
        try:
            pairs[float(key)] = float(value)
        except (TypeError, ValueError):
            continue
    return pairs
