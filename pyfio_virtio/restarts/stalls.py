# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a restart stalled the clients: computed from the times of their operations. Pure.

A back-end that is being restarted completes nothing. So the outage is the longest time without any
completion after the restart began. An operation was stalled if it was in flight at the end of that.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Span(NamedTuple):
    """The life of an operation in nanoseconds, as its client saw it."""

    submitted: int
    completed: int


@dataclass(frozen=True)
class Stall:
    """When the outage began and ended, and how long the operations took that were stalled."""

    begin_ns: int
    end_ns: int
    operations: int
    p50_ns: int
    worst_ns: int


def find(began_ns: int, spans: Sequence[Span], since_ns: int) -> Stall | None:
    """`spans` are the operations that completed after the restart began; None if there is none. The
    outage is counted from `since_ns`."""
    ends = sorted({began_ns, *(each.completed for each in spans)})
    if len(ends) < 2:
        return None
    begin, end = max(pairwise(ends), key=lambda pair: pair[1] - pair[0])
    times = [each.completed - each.submitted for each in spans if each.submitted < end <= each[1]]
    middle = round(statistics.median(times))
    return Stall(begin - since_ns, end - since_ns, len(times), middle, max(times))
