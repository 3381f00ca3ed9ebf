# SPDX-License-Identifier: GPL-2.0-or-later
"""sizes.py: sizes and times as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.errors import UsageError
from pyfio_virtio.sizes import format_seconds, format_size, parse_seconds, parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("512", 512), ("4k", 4096), ("1G", 1 << 30), ("2 MiB", 2 << 20), ("0", 0)]
)
def test_units_are_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5G", "4x", "0x10"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@given(st.integers(0, 1 << 50))
def test_a_size_shown_is_the_size_read(size: int) -> None:
    shown = format_size(size)
    assert parse_size(shown) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2),
        ("0.5", 0.5),
        ("2s", 2),
        ("500ms", 0.5),
        ("250 us", 0.00025),
        ("3m", 180),
        ("1h", 3600),
    ],
)
def test_a_time_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "2x", "inf", "nan", "1e999", "2ss", "s2", "1:30"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it as 2, 2s or 500ms"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5"), (0.25, "250ms"), (1.5, "1500ms"), (0.0004, "400us"), (0, "0")]
)
def test_fio_is_given_times_without_fractions(value: float, text: str) -> None:
    assert format_seconds(value) == text
