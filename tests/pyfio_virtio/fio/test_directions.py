# SPDX-License-Identifier: GPL-2.0-or-later
"""fio/directions.py: percentiles of bins, and sums that mix no two latencies."""

from dataclasses import replace

import pytest

from pyfio_virtio.fio.directions import (
    CLAT,
    LAT,
    Direction,
    Latency,
    add,
    percentile_of_bins,
    summarise,
)

LATENCY = Latency(LAT, 2000, 100.0, 200.0, {}, {100: 2000})
READ = Direction(1000.0, 4096000.0, 2000, 2000.0, LATENCY, LATENCY)


@pytest.mark.parametrize(("percent", "expected"), [(50.0, 500), (99.9, 999), (99.99, 1000)])
def test_a_percentile_is_the_value_that_so_many_did_not_exceed(
    percent: float, expected: float
) -> None:
    values = range(1, 1001)
    assert percentile_of_bins(values, [1000] * 1000, percent) == expected


def test_no_bins_have_no_percentile() -> None:
    assert percentile_of_bins([], [], 50.0) is None


def test_no_percentile_beyond_what_the_sample_carries() -> None:
    bins = dict.fromkeys(range(1, 1000), 1)
    few = replace(READ, ios=999, detailed=replace(LATENCY, samples=999, bins=bins))
    assert summarise([few]).p90_ns == 900
    assert summarise([few]).p99_ns is None


def test_jobs_of_unequal_length_share_the_longest_time() -> None:
    long = replace(READ, runtime_ms=4000.0, iops=500.0)
    both = add([READ, long])
    assert (both.ios, both.iops, both.runtime_ms) == (4000, 1000.0, 4000.0)


def test_percentiles_of_lat_and_of_clat_are_not_added() -> None:
    other = replace(READ, detailed=replace(LATENCY, kind=CLAT))
    summary = summarise([READ, other])
    assert (summary.p50_ns, summary.percentiles_of) == (None, None)
    assert summary.lat_mean_ns == 100.0
