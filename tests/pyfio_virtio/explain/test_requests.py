# SPDX-License-Identifier: GPL-2.0-or-later
"""explain/requests.py: the times of both sides are joined, and divide the time of a request."""

import json
from collections.abc import Iterable

import pytest

from pyfio_virtio.explain.requests import (
    BOTH_SIDES,
    CALLED,
    OUR_SIDE,
    WATCHED,
    TimesError,
    read,
)

TICK_NS = 0.5  # the clock counts 2 GHz
Sample = list[int]


def sample(position: int, submitted: int, *, file: int = 0) -> Sample:
    """After 40 ns in fio: published after 10 ticks, seen after 1000, taken after 1020."""
    return [file, position, submitted, 40 + 510, 10, 6, 1000, 1020, CALLED]


def ours(*samples: Sample, queues: tuple[int, ...] = (0,)) -> str:
    job = {
        "queues": [{"queue": number} for number in queues],
        "explain": {"begun": [10**6, 0], "ended": [3 * 10**6, 10**6], "samples": samples},
    }
    return json.dumps(job) + "\n"


def theirs(times: Iterable[tuple[int, int, int]], *, ring: int = 0, connection: int = 1) -> str:
    return json.dumps({"connection": connection, "ring": ring, "samples": list(times)}) + "\n"


def test_the_parts_of_both_sides_are_the_time_of_the_request() -> None:
    found = read(ours(sample(7, 2 * 10**6)), theirs([(7, 2 * 10**6 + 210, 2 * 10**6 + 600)]))
    (request,) = found.each
    assert request.parts == dict(zip(BOTH_SIDES, (40, 5, 100, 195, 200, 10), strict=True))
    assert (request.total_ns, request.kick_ns, request.found_by) == (550, 3, CALLED)


def test_without_a_back_end_that_takes_times_there_are_those_of_our_side() -> None:
    found = read(ours(sample(7, 2 * 10**6)), None)
    assert found.each[0].parts == dict(zip(OUR_SIDE, (40, 5, 3, 492, 10), strict=True))
    assert found.note == ""


def test_a_watched_ring_divides_the_time_that_is_not_ours() -> None:
    found = read(ours([*sample(7, 2 * 10**6), 700]), None)
    assert found.each[0].parts == dict(zip(WATCHED, (40, 5, 3, 342, 150, 10), strict=True))
    assert found.note == ""


def test_a_watcher_that_missed_most_is_told() -> None:
    found = read(ours([*sample(7, 2 * 10**6), 700], [*sample(9, 2 * 10**6), 0]), None)
    assert found.names == OUR_SIDE
    assert "saw only 50% of the requests" in found.note


def test_a_request_that_only_one_side_timed_is_left_out() -> None:
    text = ours(sample(7, 2 * 10**6), sample(9, 2 * 10**6))
    times = theirs([(7, 2 * 10**6 + 210, 2 * 10**6 + 600), (8, 2 * 10**6, 2 * 10**6)])
    assert len(read(text, times).each) == 1


def test_the_ring_of_another_connection_is_not_taken_for_ours() -> None:
    """Processes of one fio use the ring with the same number on connections of their own."""
    other = theirs([(7, 10**9, 10**9 + 9)])
    right = theirs([(7, 2 * 10**6 + 210, 2 * 10**6 + 600)], connection=2)
    (request,) = read(ours(sample(7, 2 * 10**6)), other + right).each
    assert request.parts["service"] == 195


def test_a_queue_finds_its_own_ring() -> None:
    text = ours(sample(7, 2 * 10**6, file=1), queues=(2, 3))
    times = theirs([(7, 2 * 10**6 + 20, 2 * 10**6 + 30)], ring=2)
    times += theirs([(7, 2 * 10**6 + 210, 2 * 10**6 + 600)], ring=3)
    assert read(text, times).each[0].parts["service"] == 195


def test_clocks_that_do_not_fit_are_told() -> None:
    found = read(ours(sample(7, 2 * 10**6)), theirs([(7, 10**9, 10**9 + 9)]))
    assert found.names == OUR_SIDE
    assert "clocks of the two sides do not fit" in found.note


def test_a_late_time_makes_no_part_negative() -> None:
    """A thread can lose its CPU before it reads the time."""
    found = read(ours(sample(7, 2 * 10**6)), theirs([(7, 2 * 10**6 + 2, 2 * 10**6 + 1010)]))
    assert min(found.each[0].parts.values()) >= 0
    assert found.each[0].total_ns == 550


@pytest.mark.parametrize(
    "text", ["{", '{"explain": {}}', '{"explain": {"begun": 1}, "queues": []}']
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(TimesError, match="cannot read the times of requests"):
        read(text, None)
