# SPDX-License-Identifier: GPL-2.0-or-later
"""efficiency.py: one figure for both sides, and none where a side is not known."""

import pytest

from pyfio_virtio import efficiency
from pyfio_virtio.efficiency import BACKEND, BOTH, FIO


def test_both_sides_share_the_cpu_time_that_both_used() -> None:
    assert efficiency.of_sides(6000, 2.0, 1.0) == {BOTH: 2000, FIO: 3000, BACKEND: 6000}


def test_a_side_that_is_not_known_leaves_the_other_alone() -> None:
    assert efficiency.of_sides(6000, 2.0, None) == {BOTH: None, FIO: 3000, BACKEND: None}
    assert efficiency.of_sides(6000, None, 1.0) == {BOTH: None, FIO: None, BACKEND: 6000}


def test_a_back_end_that_needs_no_time_is_not_known() -> None:
    assert efficiency.of_sides(6000, 2.0, 0.0) == {BOTH: None, FIO: 3000, BACKEND: None}


def test_without_a_back_end_fio_is_all_there_is() -> None:
    found = efficiency.of_sides(6000, 2.0, None, has_backend=False)
    assert found == {BOTH: 3000, FIO: 3000, BACKEND: None}


@pytest.mark.parametrize(("ios", "cpu_s"), [(0, 1.0), (5, 0.0), (None, 1.0), (5, None)])
def test_nothing_is_divided_by_nothing(ios: int | None, cpu_s: float | None) -> None:
    assert efficiency.per_core(ios, cpu_s) is None


@pytest.mark.parametrize(
    ("spans", "total"),
    [
        ([], 0),
        ([(10, 30)], 20),
        ([(10, 30), (10, 30)], 20),
        ([(20, 40), (10, 30)], 30),
        ([(10, 50), (20, 30)], 40),
        ([(10, 20), (30, 45)], 25),
    ],
)
def test_periods_that_overlap_count_once(spans: list[tuple[int, int]], total: int) -> None:
    assert efficiency.covered(spans) == total
