# SPDX-License-Identifier: GPL-2.0-or-later
"""explain/parts.py: which requests a bar stands for."""

from pyfio_virtio.explain import parts
from pyfio_virtio.explain.requests import BOTH_SIDES, CALLED, LOOKED, SERVICE, Request, Requests


def requests(count: int) -> Requests:
    """Their times are 1, 2 ... ns, in the back-end. Each second one needed a kick and a call."""
    every = []
    for number in range(1, count + 1):
        times = {**dict.fromkeys(BOTH_SIDES, 0.0), SERVICE: float(number)}
        every.append(Request(times, 500.0 * (number % 2), CALLED if number % 2 else LOOKED))
    return Requests(tuple(reversed(every)), BOTH_SIDES)


def test_the_bars_are_the_median_and_the_slowest_hundredth() -> None:
    median, slowest = parts.bars(requests(2000))
    assert (median.which, round(median.total_ns)) == (parts.MEDIAN, 1001)
    assert (slowest.which, slowest.total_ns, slowest.requests) == (parts.SLOWEST, 1990.5, 20)


def test_kicks_are_averaged_over_the_requests_that_needed_one() -> None:
    _, slowest = parts.bars(requests(2000))
    assert (slowest.kicked, slowest.called, slowest.kick_ns) == (0.5, 0.5, 500)


def test_of_few_requests_there_is_no_slowest_hundredth() -> None:
    assert [bar.which for bar in parts.bars(requests(900))] == [parts.MEDIAN]


def test_of_very_few_requests_there_is_no_bar() -> None:
    assert parts.bars(requests(20)) == ()
    assert parts.bars(requests(0)) == ()
