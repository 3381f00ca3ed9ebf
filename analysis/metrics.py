# SPDX-License-Identifier: GPL-2.0-or-later
"""What each metric declares about itself: which direction is better, and how a value is written.

All functions are pure, so any thread may call them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyfio_virtio import efficiency
from pyfio_virtio.analysis.stats import Better
from pyfio_virtio.analysis.style import duration, number, short
from pyfio_virtio.fio.directions import DIRECTIONS, PERCENTILE_COLUMNS


@dataclass(frozen=True)
class Metric:
    """A column of numbers. better is empty if neither direction is an improvement."""

    better: Better
    show: Callable[[float], str]


def _iops(value: float) -> str:
    return f"{value:,.0f}" if value < 10_000 else short(value, 4)


def _microseconds(value: float) -> str:
    return f"{number(value)} µs"


def _bytes(value: float) -> str:
    return f"{short(value, 4)}B/s"


def _seconds(value: float) -> str:
    return f"{number(value)} s"


def _size(value: float) -> str:
    return f"{short(value, 4)}B"


def _percent(value: float) -> str:
    return f"{number(value)}%"


_LATENCY = Metric("lower", duration)
_COST = Metric("lower", _microseconds)
METRICS = {
    **dict.fromkeys(("iops", *efficiency.SIDES), Metric("higher", _iops)),
    "bw_bytes": Metric("higher", _bytes),
    **dict.fromkeys(("lat_mean_ns", "lat_max_ns", *PERCENTILE_COLUMNS), _LATENCY),
    **dict.fromkeys(("cpu_us", "fio_cpu_us", "backend_cpu_us"), _COST),
}
# By the unit at the end of a column's name, for columns without a better direction.
_UNITS = {
    "_ns": Metric("", duration),
    "_us": Metric("", _microseconds),
    "_s": Metric("", _seconds),
    "_bytes": Metric("", _size),
    "_percent": Metric("", _percent),
}
_OTHER = Metric("", number)


def metric(column: str) -> Metric:
    """The declaration of a column; those of a direction, such as read_iops, are like their sum."""
    bare = column.removesuffix("_corrected")
    for name in DIRECTIONS:
        bare = bare.removeprefix(f"{name}_")
    unit = next((each for each in _UNITS if bare.removesuffix("_per_io").endswith(each)), "")
    return METRICS.get(bare, _UNITS.get(unit, _OTHER))
