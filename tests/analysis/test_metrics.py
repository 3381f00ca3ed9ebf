# SPDX-License-Identifier: GPL-2.0-or-later
"""metrics.py: how the values of each column are shown, and which direction is better."""

import pytest

from pyfio_virtio.analysis.metrics import metric


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("iops", 123456.78, "123.5k"),
        ("iops", 9876.54, "9,877"),
        ("read_iops", 2_610_000.0, "2.61M"),
        ("bw_bytes", 2111297725.5, "2.111GB/s"),
        ("p99_ns", 58112.0, "58.1 µs"),
        ("write_lat_max_ns", 8086751.5, "8.09 ms"),
        ("cpu_us", 3.0232955, "3.02 µs"),
        ("sleep_ns", 881043981.0, "881 ms"),
        ("poll_ns_per_io", 555.57, "556 ns"),
        ("wall_s", 1.48393, "1.48 s"),
        ("host_disk_bytes", 1073741824.0, "1.074GB"),
        ("host_steal_percent", 12.345, "12.3%"),
        ("looks_per_io", 2.99749, "3"),
    ],
)
def test_a_value_is_rounded_and_has_its_unit(column: str, value: float, text: str) -> None:
    assert metric(column).show(value) == text


@pytest.mark.parametrize(
    ("column", "better"),
    [("iops", "higher"), ("trim_iops", "higher"), ("p99_9_ns", "lower"), ("sleep_ns", "")],
)
def test_a_direction_is_better_only_where_it_is_declared(column: str, better: str) -> None:
    assert metric(column).better == better
