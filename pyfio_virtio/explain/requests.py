# SPDX-License-Identifier: GPL-2.0-or-later
"""The times of single requests, as the engine and the built-in back-end wrote them.

Owns how the two files are read, how the times of the two sides are joined, and the parts into which
they divide the time of a request. The engine's part is the member "explain" of a line of
stats_file, and the back-end's part has a line for each ring. Everything is pure; any thread may
call it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pyfio_virtio.errors import PyfioVirtioError

# The parts of a request's time, in their order.
SUBMIT, GATHER = "submit", "gather"
PICK_UP, SERVICE, NOTICE = "pick_up", "service", "notice"
KICK, AWAY, USED = "kick", "away", "used"
HAND = "hand"
BOTH_SIDES = (SUBMIT, GATHER, PICK_UP, SERVICE, NOTICE, HAND)
OUR_SIDE = (SUBMIT, GATHER, KICK, AWAY, HAND)
# With a thread that watches the used ring.
WATCHED = (SUBMIT, GATHER, KICK, USED, NOTICE, HAND)
# How fio's thread waited before it found the request completed.
LOOKED, SLEPT, CALLED = range(3)
# Of the requests, so many must have been seen in the used ring; the others may be unlike them.
_SEEN_IN_RING = 0.8
# A thread can lose its CPU between an event and the reading of its time.
_SLACK_NS = 5000
# So many of a ring's requests must fit to a queue's; those of another queue hardly ever do.
_FITTING = 0.8


# Of a sample; with a watcher there is one more, the time in the used ring.
_MEMBERS = 9


class TimesError(PyfioVirtioError):
    """The files do not hold times of requests."""


@dataclass(frozen=True)
class Request:
    """The time of one request, by its parts in ns."""

    parts: Mapping[str, float]
    kick_ns: float  # the system call that woke the back-end; 0: it needed none
    found_by: int  # LOOKED, SLEPT or CALLED

    @property
    def total_ns(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Requests:
    """The requests of a run of which times were taken."""

    each: tuple[Request, ...]
    names: tuple[str, ...]  # of their parts: BOTH_SIDES, OUR_SIDE or WATCHED
    note: str = ""  # why times of the back-end, or of its ring, cannot be used


@dataclass(frozen=True)
class _Sample:
    """What the engine took of one request; the times are in ns of its clock."""

    position: int
    start_ns: float  # from fio's start of the request to `submitted`; 0: fio does not measure it
    submitted: float
    published: float
    kick_ns: float
    seen: float
    taken: float
    found_by: int
    used: float | None  # a watcher saw it in the used ring; None: not seen in time, or no watcher


@dataclass(frozen=True)
class _Queue:
    ring: int
    samples: Sequence[_Sample]
    to_ns: Callable[[float], float]  # of the job's ticks
    is_watched: bool


_Ring = Mapping[int, tuple[float, float]]  # ticks at which each position was taken, and completed


def read(ours: str, theirs: str | None) -> Requests:
    """Joins the text of stats_file and that of the back-end, if it took times."""
    try:
        queues = [queue for line in _lines(ours) for queue in _queues(line)]
        rings = [_ring(line) for line in _lines(theirs or "")]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise TimesError("cannot read the times of requests", str(error)) from error
    if theirs is None:
        return _of_our_side(queues, "")
    found = [_of_both(queue, rings) for queue in queues if queue.samples]
    joined = tuple(request for each in found if each for request in each)
    if joined:
        return Requests(joined, BOTH_SIDES)
    why = "the clocks of the two sides do not fit together" if rings else "the back-end took none"
    return _of_our_side(queues, why)


def _lines(text: str) -> Iterator[Any]:
    return (json.loads(line) for line in text.splitlines() if line.strip())


def _queues(line: Mapping[str, Any]) -> Iterator[_Queue]:
    told = line.get("explain")
    if told is None:
        return
    (first, first_ns), (last, last_ns) = told["begun"], told["ended"]
    scale = float(last_ns - first_ns) / float(last - first)

    def to_ns(ticks: float) -> float:
        return float(ticks - first) * scale

    for number, queue in enumerate(line["queues"]):
        rows = [row for row in told["samples"] if row[0] == number]
        samples = [_sample(row, to_ns, scale) for row in rows]
        is_watched = any(len(row) > _MEMBERS for row in rows)
        yield _Queue(int(queue["queue"]), samples, to_ns, is_watched)


def _sample(row: Sequence[float], to_ns: Callable[[float], float], scale: float) -> _Sample:
    _, position, submitted, fio_ns, published, kick, seen, taken, found_by = row[:_MEMBERS]
    used = row[_MEMBERS] if len(row) > _MEMBERS else 0
    return _Sample(
        position=int(position),
        start_ns=max(fio_ns - taken * scale, 0),
        submitted=to_ns(submitted),
        published=to_ns(submitted + published),
        kick_ns=kick * scale,
        seen=to_ns(submitted + seen),
        taken=to_ns(submitted + taken),
        found_by=int(found_by),
        used=to_ns(submitted + used) if used else None,
    )


def _ring(line: Mapping[str, Any]) -> tuple[int, _Ring]:
    times = {int(position): (taken, done) for position, taken, done in line["samples"]}
    return int(line["ring"]), times


def _of_our_side(queues: Sequence[_Queue], note: str) -> Requests:
    samples = [sample for queue in queues for sample in queue.samples]
    if any(queue.is_watched for queue in queues):
        in_ring = [sample for sample in samples if sample.used is not None]
        if len(in_ring) >= _SEEN_IN_RING * len(samples):
            return Requests(tuple(map(_seen_in_ring, in_ring)), WATCHED, note)
        note = (
            "the thread that watches the used ring saw only "
            f"{len(in_ring) / len(samples):.0%} of the requests there in time"
        )
    return Requests(tuple(map(_seen_by_us, samples)), OUR_SIDE, note)


def _seen_in_ring(sample: _Sample) -> Request:
    assert sample.used is not None  # noqa: S101
    kicked = min(sample.published + sample.kick_ns, sample.used)
    return _request(sample, WATCHED, (sample.published, kicked, sample.used, sample.seen))


def _seen_by_us(sample: _Sample) -> Request:
    """If the back-end runs on our CPU, it may have done everything during the kick."""
    kicked = sample.published + sample.kick_ns
    return _request(sample, OUR_SIDE, (sample.published, kicked, sample.seen))


def _of_both(queue: _Queue, rings: Sequence[tuple[int, _Ring]]) -> list[Request] | None:
    """The requests that both sides timed. Connections are not told apart by numbers, but only one
    ring has times that fit."""
    for number, ring in rings:
        if number != queue.ring:
            continue
        pairs = [
            (sample, *ring[sample.position]) for sample in queue.samples if sample.position in ring
        ]
        known = [(sample, queue.to_ns(taken), queue.to_ns(done)) for sample, taken, done in pairs]
        if known and sum(_fits(*each) for each in known) >= _FITTING * len(known):
            return [_seen_by_both(*each) for each in known]
    return None


def _fits(sample: _Sample, taken: float, done: float) -> bool:
    return sample.submitted - _SLACK_NS <= taken <= done <= sample.seen + _SLACK_NS


def _seen_by_both(sample: _Sample, taken: float, done: float) -> Request:
    return _request(sample, BOTH_SIDES, (sample.published, taken, done, sample.seen))


def _request(sample: _Sample, names: Sequence[str], ends: Sequence[float]) -> Request:
    """Divides the time at the given moments, which follow one another at least in the mean."""
    places = [sample.submitted]
    for end in (*ends, sample.taken):
        places.append(min(max(end, places[-1]), sample.taken))
    lengths = [after - before for before, after in pairwise(places)]
    parts = dict(zip(names, (sample.start_ns, *lengths), strict=True))
    return Request(parts, sample.kick_ns, sample.found_by)
