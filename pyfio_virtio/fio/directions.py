# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of one direction of a job, and their sums: rates, latencies, percentiles.

Owns how results of several directions and of several jobs are put together. Pure; any thread may
call it. Percentiles are never averaged: they come from the sum of the latency bins, and a latency
from submission on is never mixed with one that begins later. output.py reads the results.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate

DIRECTIONS = ("read", "write", "trim")
# A percentile is reported only if at least ten I/Os lie beyond it, because fewer would make it a
# matter of chance. So p99 needs 1,000 I/Os, and p99.99 needs 100,000.
FEWEST_BEYOND = 10
# The latency from the start of the submission to the completion, and that from the end of the
# submission on.
LAT, CLAT = "lat", "clat"


@dataclass(frozen=True)
class Summary:
    """One direction, or all of them together. A value is None if fio's samples cannot tell it."""

    iops: float = 0.0  # I/Os a second
    bw_bytes: float = 0.0  # bytes a second
    ios: int = 0  # I/Os in all
    lat_mean_ns: float | None = None  # mean latency
    lat_max_ns: float | None = None  # longest latency
    p50_ns: float | None = None  # median latency
    p90_ns: float | None = None  # 90th percentile of the latency
    p99_ns: float | None = None  # 99th percentile of the latency
    p99_9_ns: float | None = None  # 99.9th percentile of the latency
    p99_99_ns: float | None = None  # 99.99th percentile of the latency
    mean_of: str | None = None  # which latency the mean and the maximum are of: lat or clat
    percentiles_of: str | None = None  # which latency the percentiles are of: lat or clat


# The percentile of each column: p99_9_ns is the 99.9th.
PERCENTILE_COLUMNS = {
    field.name: float(field.name[1:-3].replace("_", "."))
    for field in fields(Summary)
    if field.name[:1] == "p" and field.name[1].isdigit()
}


@dataclass(frozen=True)
class Latency:
    """One of fio's latencies, LAT or CLAT, in ns."""

    kind: str
    samples: int
    mean_ns: float
    max_ns: float
    percentiles: Mapping[float, float]
    bins: Mapping[int, int]  # ns to counts; empty without json+


@dataclass(frozen=True)
class Direction:
    """The results of a job in one direction, or of all directions of a job (MIXED)."""

    iops: float = 0.0
    bw_bytes: float = 0.0
    ios: int = 0
    runtime_ms: float = 0.0
    whole: Latency | None = None  # has the mean and the maximum; None: fio measured none
    detailed: Latency | None = None  # has the percentiles; None: fio kept none

    @property
    def bins(self) -> Mapping[int, int]:
        """The latency bins of json+, which map ns to counts."""
        return self.detailed.bins if self.detailed else {}

    @property
    def percentiles(self) -> Mapping[float, float]:
        """fio's own percentiles."""
        return self.detailed.percentiles if self.detailed else {}


def is_supported(percent: float, samples: float) -> bool:
    """Whether this many samples are enough for this percentile."""
    return samples * (100 - percent) >= 100 * FEWEST_BEYOND - 1e-6


def add(parts: Sequence[Direction]) -> Direction:
    """One direction of jobs that ran at the same time."""
    busy = [each for each in parts if each.ios]
    if len(busy) < 2:
        return busy[0] if busy else Direction()
    runtime_ms = max(each.runtime_ms for each in busy)
    # fio divides by the longest time. A job of a status report may have no time yet.
    share = [each.runtime_ms / runtime_ms if runtime_ms else 1.0 for each in busy]
    return Direction(
        iops=sum(e.iops * s for e, s in zip(busy, share, strict=True)),
        bw_bytes=sum(e.bw_bytes * s for e, s in zip(busy, share, strict=True)),
        ios=sum(each.ios for each in busy),
        runtime_ms=runtime_ms,
        whole=_sum_of_latencies([each.whole for each in busy]),
        detailed=_sum_of_latencies([each.detailed for each in busy]),
    )


def _sum_of_latencies(parts: Sequence[Latency | None]) -> Latency | None:
    """None unless all of them measured the same latency. Percentiles need bins."""
    known = [each for each in parts if each]
    if len(known) < len(parts) or len({each.kind for each in known}) != 1:
        return None
    if len(known) == 1:
        return known[0]
    samples = sum(each.samples for each in known)
    return Latency(
        kind=known[0].kind,
        samples=samples,
        mean_ns=sum(each.mean_ns * each.samples for each in known) / samples,
        max_ns=max(each.max_ns for each in known),
        percentiles={},
        bins=_sum_of_bins(each.bins for each in known) if all(e.bins for e in known) else {},
    )


def summarise(directions: Iterable[Direction]) -> Summary:
    """Summarises several directions as one. The percentiles come from the sum of their bins."""
    busy = [each for each in directions if each.ios]
    whole = _sum_of_latencies([each.whole for each in busy])
    detailed = _sum_of_latencies([each.detailed for each in busy])
    percentiles = _percentiles(detailed)
    return Summary(
        iops=sum(each.iops for each in busy),
        bw_bytes=sum(each.bw_bytes for each in busy),
        ios=sum(each.ios for each in busy),
        lat_mean_ns=whole.mean_ns if whole else None,
        lat_max_ns=whole.max_ns if whole else None,
        mean_of=whole.kind if whole else None,
        percentiles_of=detailed.kind if detailed else None,
        **percentiles,
    )


def no_percentiles(directions: Iterable[Direction]) -> str:
    """Why these directions together have no percentiles, and which option helps; "": they do."""
    busy = [each for each in directions if each.ios]
    if not busy or _percentiles(_sum_of_latencies([each.detailed for each in busy]))["p50_ns"]:
        return ""
    if not all(each.whole for each in busy):
        return (
            "fio measured no latency; run it without disable_lat=1, disable_clat=1 or gtod_reduce=1"
        )
    if not all(each.detailed for each in busy):
        return "fio kept no percentiles; run it with lat_percentiles=1 and --output-format=json+"
    if len({each.detailed.kind for each in busy if each.detailed}) > 1:
        return "the percentiles are of lat and of clat; run fio with lat_percentiles=1"
    if not all(each.bins for each in busy):
        return (
            "percentiles of several directions or jobs need fio's latency bins; run fio with "
            "--output-format=json+"
        )
    return "there are too few I/Os; run longer"


def merge_bins(directions: Iterable[Direction]) -> dict[int, int]:
    """The sum of their latency bins, ascending; empty if some of them have none or another kind."""
    busy = [each for each in directions if each.ios]
    whole = _sum_of_latencies([each.detailed for each in busy])
    return dict(whole.bins) if whole else {}


def _sum_of_bins(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for bins in parts:
        for value, count in bins.items():
            total[value] = total.get(value, 0) + count
    return dict(sorted(total.items()))


def _percentiles(detailed: Latency | None) -> dict[str, float | None]:
    """The columns p50_ns and so on."""
    if detailed is None:
        return dict.fromkeys(PERCENTILE_COLUMNS)
    if detailed.bins:
        return _percentiles_of_bins(detailed.bins)
    return {
        column: detailed.percentiles.get(percent)
        if is_supported(percent, detailed.samples)
        else None
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
