# SPDX-License-Identifier: GPL-2.0-or-later
"""hosts/combine.py: the numbers of several hosts, and the words about them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.fio.directions import LAT, Direction, Latency
from pyfio_virtio.fio.output import FioJob
from pyfio_virtio.hosts.combine import HostPart, combined
from pyfio_virtio.machine.cpu_use import CpuUse
from tests.pyfio_virtio.hosts.test_window import MS, steady

BINS = st.dictionaries(st.integers(1, 10**9), st.integers(1, 10_000), min_size=1, max_size=20)


def job(bins: dict[int, int], runtime_ms: float = 1000.0, block: int = 4096) -> FioJob:
    """A job that has done its I/Os with these latencies."""
    bins = dict(sorted(bins.items()))
    ios = sum(bins.values())
    mean = sum(value * count for value, count in bins.items()) / ios
    latency = Latency(LAT, ios, mean, max(bins), {}, bins)
    iops = ios * 1000 / runtime_ms
    read = Direction(iops, iops * block, ios, runtime_ms, latency, latency)
    return FioJob("sweep", "", 0, 0, None, {"read": read}, None)


def host(name: str, ios: int, start_ms: float = 0.0, runtime_ms: float = 1000.0) -> HostPart:
    """A host that has done its I/Os evenly."""
    log = steady(start_ms, start_ms + runtime_ms, ios * 1000 / runtime_ms)
    return HostPart(name, [job({1000: ios}, runtime_ms)], start_ms * MS, iops_log=log)


@given(st.lists(BINS, min_size=1, max_size=4))
def test_hosts_that_ran_at_the_same_time_are_summed(every: list[dict[int, int]]) -> None:
    parts = [HostPart(f"h{n}", [job(bins)], 0.0) for n, bins in enumerate(every)]
    whole = combined(parts).total
    assert whole.ios == sum(sum(bins.values()) for bins in every)
    assert whole.iops == pytest.approx(whole.ios)
    assert whole.bw_bytes == pytest.approx(4096 * whole.ios)


@given(st.lists(BINS, min_size=1, max_size=4))
def test_percentiles_are_those_of_all_ios_together(every: list[dict[int, int]]) -> None:
    parts = [HostPart(f"h{n}", [job(bins)], 0.0) for n, bins in enumerate(every)]
    latencies = sorted(
        value for bins in every for value, count in bins.items() for _ in range(count)
    )
    p50 = combined(parts).total.p50_ns
    if len(latencies) < 20:
        assert p50 is None
    else:
        assert p50 == latencies[-(-len(latencies) // 2) - 1]
    assert combined(parts).total.lat_max_ns == latencies[-1]


def test_only_the_time_of_all_hosts_counts() -> None:
    run = combined([host("a", 1000), host("b", 2000, start_ms=500)])
    assert run.across.window_s == pytest.approx(0.5)
    assert run.total.ios == 1500
    assert run.total.iops == pytest.approx(3000)
    assert run.total.bw_bytes == pytest.approx(3000 * 4096)
    assert run.across.start_skew_ms == pytest.approx(500)
    assert [each.start_ms for each in run.on_hosts.values()] == [0.0, 500.0]
    assert "together for 0.50 of 1.00 s" in run.across.notes


def test_a_clock_that_is_ahead_is_no_skew() -> None:
    ahead = replace(host("b", 2000), clock_offset_ns=5e9, clock_error_ns=1e5)
    log = steady(5000, 6000, 2000)
    run = combined([host("a", 1000), replace(ahead, iops_log=log)])
    assert run.across.start_skew_ms == 0.0
    assert run.total.ios == 3000
    assert "the clock of b is 5.0 s ahead of ours" in run.across.notes
    assert run.on_hosts["b"].clock_error_ms == 0.1


def test_the_slowest_host_and_its_share_of_the_median_are_told() -> None:
    run = combined([host("a", 1000), host("b", 300), host("c", 1200)])
    assert run.across.slowest == "b"
    assert run.across.fairness == pytest.approx(0.3)
    assert "b is a straggler: it did 0.30 of the median host's IOPS" in run.across.notes


def test_equal_hosts_need_no_words() -> None:
    assert combined([host("a", 1000), host("b", 1000)]).across.notes == ""


@pytest.mark.parametrize("count", [1, 3])
def test_a_run_with_a_failed_host_has_no_numbers(count: int) -> None:
    good = [host(f"h{n}", 1000) for n in range(count)]
    run = combined([*good, HostPart("b", error="it vanished")])
    assert run.error == "host b: it vanished"
    assert run.across.failed == "b"
    assert run.total.ios == 0
    assert set(run.on_hosts) == {*(each.name for each in good), "b"}


def test_hosts_that_never_ran_together_are_no_run() -> None:
    run = combined([host("a", 1000), host("b", 1000, start_ms=5000)])
    assert run.error == (
        "the 2 hosts did no I/O at the same time, because the last began 5.0 s after the first; "
        "run longer"
    )


def test_without_a_log_the_rate_is_assumed_to_be_even() -> None:
    parts = [HostPart("a", [job({5: 1000})], 0.0), HostPart("b", [job({5: 1000})], 500 * MS)]
    run = combined(parts)
    assert run.total.ios == 1000
    assert "assumed to be even" in run.across.notes


def test_without_times_the_overlap_is_not_known() -> None:
    run = combined([HostPart("a", [job({5: 1000})]), HostPart("b", [job({5: 1000})])])
    assert run.total.ios == 2000
    assert "it is not known when the hosts started" in run.across.notes


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        ([CpuUse(1.0, 2.0, 4, 6), CpuUse(3.0, 4.0, 2, 2)], CpuUse(2.0, 3.0, 3, 4)),
        ([CpuUse(1.0, 2.0, 4, 6), None], None),
    ],
)
def test_cpu_time_is_that_of_all_hosts_in_the_window(
    uses: Sequence[CpuUse | None], expected: CpuUse | None
) -> None:
    hosts = [host("a", 1000), host("b", 1000, start_ms=500)]
    parts = [replace(each, fio_cpu=use) for each, use in zip(hosts, uses, strict=True)]
    assert combined(parts).fio_cpu == expected
