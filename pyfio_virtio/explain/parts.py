# SPDX-License-Identifier: GPL-2.0-or-later
"""The bars of a picture of where the time goes: averages of the parts of like requests.

Owns which requests a bar stands for, and how few are too few. Everything is pure; any thread may
call it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyfio_virtio.explain.requests import CALLED, SLEPT, Request, Requests

MEDIAN, SLOWEST = "median", "slowest"
# The bar of the median is the mean of the requests between these shares, by their total time.
_BAND = (0.45, 0.55)
_SLOW = 0.99
# A mean of fewer requests is a matter of chance.
FEWEST = 10


@dataclass(frozen=True)
class Bar:
    """The mean of the parts of some requests."""

    which: str  # MEDIAN or SLOWEST
    requests: int
    parts: Mapping[str, float]  # ns, in their order
    kick_ns: float  # mean of the kicks of those that needed one
    kicked: float  # share that needed a kick
    slept: float  # share that fio's thread found after a sleep
    called: float  # share that it found after the back-end's call, or after it was about to block

    @property
    def total_ns(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Explained:
    """Where the time went in one run."""

    wait: str
    iodepth: int | None  # None: that of the job
    bars: tuple[Bar, ...]
    requests: int  # of which times were taken
    fio_median_ns: float | None  # fio's own median latency of all requests; None: it told none
    # For each I/O: kicks, calls, sleeps, and context switches of each side. What is not known is
    # left out.
    counts: Mapping[str, float]
    note: str = ""

    def bar(self, which: str) -> Bar | None:
        return next((bar for bar in self.bars if bar.which == which), None)


def bars(found: Requests) -> tuple[Bar, ...]:
    """A bar for the median request and one for the slowest 1%, where there are enough of them."""
    ordered = sorted(found.each, key=lambda request: request.total_ns)
    count = len(ordered)
    middle = ordered[int(_BAND[0] * count) : int(_BAND[1] * count) + 1]
    slow = ordered[int(_SLOW * count) :]
    every = ((MEDIAN, middle), (SLOWEST, slow))
    return tuple(_bar(which, some, found.names) for which, some in every if len(some) >= FEWEST)


def _bar(which: str, some: Sequence[Request], names: Sequence[str]) -> Bar:
    count = len(some)
    kicks = [request.kick_ns for request in some if request.kick_ns]
    found_by = [request.found_by for request in some]
    return Bar(
        which=which,
        requests=count,
        parts={name: sum(request.parts[name] for request in some) / count for name in names},
        kick_ns=sum(kicks) / len(kicks) if kicks else 0.0,
        kicked=len(kicks) / count,
        slept=found_by.count(SLEPT) / count,
        called=found_by.count(CALLED) / count,
    )
