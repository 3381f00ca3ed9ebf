# SPDX-License-Identifier: GPL-2.0-or-later
"""latency.py: histograms are added, percentiles read from the sum, stalls paid for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.analysis import latency

BINS = st.dictionaries(st.integers(1, 10**9), st.integers(1, 10**6), min_size=1, max_size=50)


def test_percentiles_of_two_runs_are_those_of_all_their_ios() -> None:
    """The mean of the two p99s would be 505; of all 2,000 I/Os, the slow run's are the top half."""
    fast, slow = latency.from_bins({10: 1000}), latency.from_bins({1000: 1000})
    assert latency.percentile(latency.merge([fast, slow]), 99.0) == 1000
    assert latency.percentile(latency.merge([fast, slow]), 50.0) == 10


@given(st.lists(BINS, max_size=4))
def test_merging_loses_no_io(parts: list[dict[int, int]]) -> None:
    merged = latency.merge(map(latency.from_bins, parts))
    assert merged.total == sum(sum(part.values()) for part in parts)
    assert list(merged.values_ns) == sorted(set().union(*parts))


@given(BINS)
def test_percentiles_agree_with_numpy_s(bins: dict[int, int]) -> None:
    bins = {value: count % 200 + 20 for value, count in bins.items()}
    whole = latency.from_bins(bins)
    each = np.repeat(list(bins), list(bins.values()))
    assert latency.percentile(whole, 50.0) == np.percentile(each, 50, method="inverted_cdf")


@pytest.mark.parametrize(
    ("percent", "fewest"), [(90.0, 100), (99.0, 1_000), (99.9, 10_000), (99.99, 100_000)]
)
def test_no_percentile_without_ten_ios_beyond_it(percent: float, fewest: int) -> None:
    assert latency.percentile(latency.from_bins({5: fewest}), percent) == 5
    assert latency.percentile(latency.from_bins({5: fewest - 1}), percent) is None


def test_a_stall_shows_in_the_corrected_tail_only() -> None:
    """A 100 ms stall each second at 1,000 IOPS, depth 1: 900 quick I/Os and one slow one."""
    raw = latency.from_bins({10_000: 900 * 60, 100_000_000: 60})
    right = latency.corrected(raw, latency.interval_at_rate(1000, 1))
    before, after = latency.percentile(raw, 99.0), latency.percentile(right, 99.0)
    assert before == 10_000
    assert after is not None
    assert 80e6 <= after <= 100e6


def test_correction_restores_the_ios_that_were_due() -> None:
    raw = latency.from_bins({10_000: 900, 100_000_000: 1})
    assert latency.corrected(raw, 1e6).total == 1000


def test_correction_leaves_a_load_without_stalls_alone() -> None:
    raw = latency.from_bins({10_000: 5, 900_000: 5})
    assert latency.corrected(raw, 1e6) is not None
    assert dict(zip(*_pairs(latency.corrected(raw, 1e6)), strict=True)) == {10_000: 5, 900_000: 5}


def test_slots_share_a_rate() -> None:
    assert latency.interval_at_rate(1000, 4) == 4e6


def test_nothing_has_no_percentile() -> None:
    assert latency.percentile(latency.EMPTY, 50.0) is None
    assert latency.supported(latency.EMPTY) == []
    assert latency.corrected(latency.EMPTY, 1e6) is latency.EMPTY


def _pairs(histogram: latency.Histogram) -> tuple[list[float], list[float]]:
    return histogram.values_ns.tolist(), histogram.counts.tolist()
