# SPDX-License-Identifier: GPL-2.0-or-later
"""Latency histograms: merging, percentiles, and correction for coordinated omission.

This file owns the statistics of latencies. All functions are pure functions of frozen
data, so any thread may call them. They never average percentiles: the histograms of several
runs are added first, and the percentile is taken from their sum. They return no percentile
that has too few I/Os beyond it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyfio_virtio.fio.directions import is_supported, percentile_of_bins

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)


@dataclass(frozen=True)
class Histogram:
    """The number of I/Os by latency; values_ns ascends, and each is the middle of a bin of fio."""

    values_ns: NDArray[np.float64]
    counts: NDArray[np.float64]

    @property
    def total(self) -> float:
        """The number of I/Os."""
        return float(self.counts.sum())


EMPTY = Histogram(np.empty(0), np.empty(0))


def from_bins(bins: Mapping[int, int]) -> Histogram:
    """Makes a histogram from the bins in fio's json+ output, which map ns to a count."""
    if not bins:
        return EMPTY
    values = np.fromiter(bins.keys(), float, len(bins))
    counts = np.fromiter(bins.values(), float, len(bins))
    order = np.argsort(values, kind="stable")
    return Histogram(values[order], counts[order])


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """The histogram of all their I/Os together."""
    parts = [part for part in histograms if part.values_ns.size]
    if not parts:
        return EMPTY
    return _gather(
        np.concatenate([part.values_ns for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )


def percentile(histogram: Histogram, percent: float) -> float | None:
    """The latency in ns that `percent` of the I/Os did not exceed; None if too few exceeded it."""
    return percentile_of_bins(histogram.values_ns.tolist(), histogram.counts.tolist(), percent)


def supported(histogram: Histogram) -> list[float]:
    """Those of PERCENTILES that have enough I/Os beyond them."""
    return [each for each in PERCENTILES if is_supported(each, histogram.total)]


def corrected(histogram: Histogram, interval_ns: float) -> Histogram:
    """Adds the I/Os that were not issued in time because an earlier I/O was slow.

    At a fixed rate, an I/O is due every interval_ns. While an I/O takes v intervals, the I/Os
    that become due are delayed. They would have waited for v - 1, v - 2, ... intervals, and
    they are added with these latencies.
    """
    if interval_ns <= 0 or not histogram.values_ns.size:
        return histogram
    slow = histogram.values_ns > 2 * interval_ns
    missed = np.floor(histogram.values_ns[slow] / interval_ns).astype(int) - 1
    sources = np.repeat(histogram.values_ns[slow], missed)
    counts = np.repeat(histogram.counts[slow], missed)
    steps = np.arange(missed.sum()) - np.repeat(np.cumsum(missed) - missed, missed) + 1
    return _gather(
        np.concatenate([histogram.values_ns, sources - steps * interval_ns]),
        np.concatenate([histogram.counts, counts]),
    )


def interval_at_rate(rate_iops: float, in_flight: int) -> float:
    """The time in ns between two I/Os of one slot, if in_flight slots share the rate."""
    return in_flight * 1e9 / rate_iops


def _gather(values: NDArray[np.float64], counts: NDArray[np.float64]) -> Histogram:
    unique, where = np.unique(values, return_inverse=True)
    return Histogram(unique, np.bincount(where, counts, unique.size).astype(np.float64))
