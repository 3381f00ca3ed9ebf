# SPDX-License-Identifier: GPL-2.0-or-later
"""hosts/window.py: fio's logs as rates, and the share of I/Os in the time of all hosts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.hosts.window import Rate, Span, common, moved, read_log, share

MS = 1_000_000
EVERY_MS = 100


def steady(begin_ms: float, end_ms: float, per_second: float = 1000.0) -> list[Rate]:
    """What a host logs that does its I/Os evenly from `begin_ms` to `end_ms`."""
    count = round((end_ms - begin_ms) / EVERY_MS)
    return [
        Rate(
            Span((begin_ms + n * EVERY_MS) * MS, (begin_ms + (n + 1) * EVERY_MS) * MS),
            "read",
            per_second,
        )
        for n in range(count)
    ]


def test_a_line_of_the_log_is_the_rate_before_its_time(tmp_path: Path) -> None:
    log = tmp_path / "fio_iops.log"
    log.write_text("1700000000100, 5000, 0, 4096, 0\n1700000000200, 70, 1, 4096, 0\n")
    first, second = read_log(log, EVERY_MS)
    assert first == Rate(Span(1700000000000 * MS, 1700000000100 * MS), "read", 5000.0)
    assert second.direction == "write"


@pytest.mark.parametrize(
    "line", ["", "x", "1,2", "1,2,9", "nan,1,0", "1,inf,0", "1,-5,0", "1,1,x", "1 2 0"]
)
def test_other_lines_are_left_out(tmp_path: Path, line: str) -> None:
    log = tmp_path / "fio_iops.log"
    log.write_text(f"{line}\n100, 5, 0, 4096, 0")
    assert [each.per_second for each in read_log(log, EVERY_MS)] == [5.0]


def test_the_time_of_all_hosts_begins_with_the_last_and_ends_with_the_first() -> None:
    assert common([Span(0, 10), Span(3, 12), Span(1, 9)]) == Span(3, 9)
    assert common([Span(0, 3), Span(3, 6)]) is None
    assert common([]) is None


def test_without_a_log_the_rate_is_even() -> None:
    assert share([], "read", Span(0, 100), Span(25, 75)) == 0.5
    assert share(steady(0, 1000), "write", Span(0, 100), Span(0, 10)) == 0.1
    assert share([], "read", Span(5, 5), Span(0, 10)) == 0.0


def test_with_a_log_the_share_follows_the_rate() -> None:
    slow_then_fast = [*steady(0, 1000, 10.0), *steady(1000, 2000, 30.0)]
    whole = Span(0, 2000 * MS)
    assert share(slow_then_fast, "read", whole, Span(1000 * MS, 2000 * MS)) == pytest.approx(0.75)


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=30),
    st.integers(0, 3000),
    st.integers(0, 3000),
)
def test_shares_of_two_parts_are_the_share_of_the_whole(
    rates: list[float], one: int, other: int
) -> None:
    log = [
        Rate(Span(n * EVERY_MS * MS, (n + 1) * EVERY_MS * MS), "read", rate)
        for n, rate in enumerate(rates)
    ]
    whole = Span(0, len(rates) * EVERY_MS * MS)
    first, second = sorted((one * MS, other * MS))
    parts = [Span(-1, first), Span(first, second), Span(second, 1e15)]
    assert sum(share(log, "read", whole, part) for part in parts) == pytest.approx(1.0)


def test_a_clock_that_is_ahead_shows_later_times() -> None:
    assert moved([Rate(Span(10, 20), "read", 1.0)], 4) == [Rate(Span(6, 16), "read", 1.0)]
