# SPDX-License-Identifier: GPL-2.0-or-later
"""Times as poll(2) takes them: engine/base/clock.h."""

import pytest

from tests.engine.shared_object import lib

INT_MAX = (1 << 31) - 1
NS_PER_MS = 1_000_000


@pytest.mark.parametrize("left_ms", [INT_MAX + 60_000, (1 << 32) - 1, (1 << 64) // NS_PER_MS // 2])
def test_a_long_time_is_not_taken_for_no_end(left_ms: int) -> None:
    """For poll() a negative number is none."""
    assert lib.clock_left_ms(lib.clock_now_ns() + left_ms * NS_PER_MS) == INT_MAX


def test_what_has_passed_is_0() -> None:
    assert lib.clock_left_ms(lib.clock_now_ns() - 1) == lib.clock_left_ms(0) == 0


def test_the_last_millisecond_is_one() -> None:
    assert lib.clock_left_ms(lib.clock_now_ns() + 3600 * 1000 * NS_PER_MS) in (3_600_000, 3_599_999)
