# SPDX-License-Identifier: GPL-2.0-or-later
"""Which operations a restart stalled, and for how long."""

from pyfio_virtio.restarts.stalls import Span, Stall, find


def test_those_in_flight_at_the_end_of_the_longest_pause_were_stalled() -> None:
    before = [Span(80, 101), Span(85, 104)]
    stalled = [Span(90, 500), Span(104, 500), Span(100, 520)]
    after = [Span(500, 530), Span(530, 560)]
    assert find(100, [*after, *stalled, *before], 90) == Stall(
        begin_ns=14, end_ns=410, operations=3, p50_ns=410, worst_ns=420
    )


def test_a_restart_may_begin_during_the_pause() -> None:
    stall = find(100, [Span(50, 300)], 0)
    assert stall is not None
    assert (stall.begin_ns, stall.end_ns, stall.worst_ns) == (100, 300, 250)


def test_without_operations_there_is_no_stall() -> None:
    assert find(100, [], 0) is None
