# SPDX-License-Identifier: GPL-2.0-or-later
"""The time during which all hosts did I/O, and which share of each host's I/Os lies in it.

Owns how fio's logs of IOPS and bandwidth are read as rates over time. fio starts one host after the
other, so the hosts' own times only overlap, and only the overlap measures them together. Times are
in ns on the controller's clock unless a name says otherwise. Pure except read_log(); any thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.fio.directions import DIRECTIONS

_NS_PER_MS = 1_000_000
# More lines than a month of seconds has.
_MOST_LINES = 4_000_000


@dataclass(frozen=True)
class Span:
    """From `begin` to `end`, in ns."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return (self.end - self.begin) / 1e9

    def overlap(self, other: Span) -> float:
        """The ns that both have in common."""
        return max(0.0, min(self.end, other.end) - max(self.begin, other.begin))


@dataclass(frozen=True)
class Rate:
    """An average of fio's log: this many I/Os (or KiB) a second in this direction, in this time."""

    span: Span
    direction: str
    per_second: float


def read_log(path: Path, every_ms: int) -> list[Rate]:
    """The lines of a log with log_avg_msec=`every_ms` and log_unix_epoch=1, in the host's time.

    A line has the end of its time in ms, the average, the direction, and fields that do not matter
    here. Lines that are something else are left out, because a host that was killed may have sent a
    part. Raises OSError if the file cannot be read.
    """
    lines = files.read_text(path).splitlines()[:_MOST_LINES]
    return [rate for line in lines if (rate := _rate(line, every_ms)) is not None]


def _rate(line: str, every_ms: int) -> Rate | None:
    words = line.split(",")
    try:
        end_ms, per_second, direction = float(words[0]), float(words[1]), int(words[2])
    except (ValueError, IndexError):
        return None
    known = 0 <= direction < len(DIRECTIONS)
    if not known or not math.isfinite(end_ms) or not 0 <= per_second < math.inf:
        return None
    span = Span((end_ms - every_ms) * _NS_PER_MS, end_ms * _NS_PER_MS)
    return Rate(span, DIRECTIONS[direction], per_second)


def moved(rates: Iterable[Rate], offset_ns: float) -> list[Rate]:
    """The same on a clock that shows `offset_ns` less."""
    return [
        Rate(
            Span(each.span.begin - offset_ns, each.span.end - offset_ns),
            each.direction,
            each.per_second,
        )
        for each in rates
    ]


def common(spans: Sequence[Span]) -> Span | None:
    """The time that all of them share; None if there is none."""
    if not spans:
        return None
    shared = Span(max(each.begin for each in spans), min(each.end for each in spans))
    return shared if shared.end > shared.begin else None


def share(rates: Sequence[Rate], direction: str, whole: Span, window: Span) -> float:
    """The share of the I/Os of a direction that lies in `window`: 0 to 1.

    `whole` is the time of all of them; without rates, they are assumed to be even over that time.
    """
    mine = [each for each in rates if each.direction == direction and each.per_second]
    total = sum(each.per_second * each.span.seconds for each in mine)
    if not total:
        return whole.overlap(window) / (whole.end - whole.begin) if whole.end > whole.begin else 0.0
    inside = sum(each.per_second * each.span.overlap(window) / 1e9 for each in mine)
    return min(1.0, inside / total)
