# SPDX-License-Identifier: GPL-2.0-or-later
"""sizes.py: sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfio_virtio.errors import UsageError
from pyfio_virtio.sizes import format_size, parse_size


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
