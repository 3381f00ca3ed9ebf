# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's counters of a run, from the file that the option stats_file names.

Owns how that file is read (one JSON object in a line for each job), how its lines become one flat
set of sums for a record, and how the counters of a job are put into words. Everything but read()
is pure; any thread may call it. The file itself, with the decisions of wait=adaptive, stays whole
beside the run. The sums are not divided by the I/Os here, because the report does that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pyfio_virtio import efficiency, files
from pyfio_virtio.errors import PyfioVirtioError

LEGEND = (
    "(kick: fio wakes the back-end with a system call; call: the back-end wakes fio;\n"
    " look: fio reads the ring; sleep: fio sleeps, for a time or until a call;\n"
    " CPU: all CPU time of the job's thread, with fio's own work)"
)
# The process that serves a queue, and its CPU time at both ends of the job, if that is known.
_SERVER = ("backend_pid", "backend_cpu_begun_ns", "backend_cpu_ended_ns")
# Numbers of a job or queue that are not counts, so their sum has no meaning.
_SETTINGS = {
    "number",
    "sleepy_poll",
    "queue",
    "queue_size",
    "indirect",
    "event_idx",
    "call_suppression",
    "page_bytes",
    "capacity_bytes",
    *_SERVER,
}
# What a queue counts when its back-end comes back; see restarts().
RESTARTS = ("reconnects", "replayed", "away_ns", "longest_away_ns")
# The I/Os that the engine reaped, including those of the ramp, which fio's column ios leaves out.
REAPED = "reaped"
_RENAMED = {"ios": REAPED}
_SOURCE = "the engine's statistics"
_T = TypeVar("_T")


class CountersError(PyfioVirtioError):
    """The file does not hold the engine's counters."""


@dataclass(frozen=True)
class JobCounters:
    """What one job counted from its beginning to its end, ramp_time included."""

    job: str
    number: int  # the number that fio gave the job, from 1
    wait: str
    ios: int
    kicks: int
    calls: int
    looks: int
    sleeps: int  # for a time (sleepy, adaptive), or on the eventfd (event, adaptive)
    cpu_ns: int
    way: str = ""  # the last way of wait=adaptive
    # The process that serves each queue, and its CPU time when the job began and when it ended;
    # None if that is not known.
    servers: tuple[tuple[int, int, int] | None, ...] = ()
    restarts: Mapping[str, int] = field(default_factory=dict)  # as restarts() says


# ---- reading --------------------------------------------------------------------------------


def read(paths: Iterable[Path]) -> list[JobCounters]:
    """All jobs of the given files, in fio's order; a job that did not run has no line."""
    found: list[JobCounters] = []
    for path in paths:
        try:
            text = files.read_text(path)
        except OSError as error:
            raise CountersError(
                f"cannot read the counters in {path}", error.strerror or str(error)
            ) from error
        found += parse(text, str(path))
    return sorted(found, key=lambda each: each.number)


def parse(text: str, source: str = _SOURCE) -> list[JobCounters]:
    """The counters of each job; a field that is missing counts as 0."""
    return list(_of_lines(text, source, _of_job))


def sums(text: str, source: str = _SOURCE) -> dict[str, float]:
    """Every counter, summed over jobs and queues; batches by their smallest size."""
    total: dict[str, float] = {}
    queues: list[Mapping[str, Any]] = []
    for counts, used in _of_lines(text, source, lambda raw: (list(_counts(raw)), _queues(raw))):
        for name, value in counts:
            total[name] = total.get(name, 0) + value
        queues += used
    return {**total, **restarts(queues)}


def sleeps(counts: Mapping[str, Any]) -> float:
    """How often fio slept, for a time or on the eventfd. The engine counts the two apart, because
    wait=adaptive does both; whatever is shown to users is their sum."""
    return float(counts.get("sleeps", 0)) + float(counts.get("polls", 0))


def restarts(queues: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How often back-ends came back, and how long they were away; empty if none ever was.

    All queues of a socket see the same restarts, so the one that saw most counts for the socket.
    """
    sockets: dict[str, dict[str, int]] = {}
    for queue in queues:
        seen = {name: int(queue.get(name, 0)) for name in RESTARTS}
        before = sockets.setdefault(str(queue.get("socket", "")), dict.fromkeys(RESTARTS, 0))
        for name, value in seen.items():
            both = before[name] + value if name == "replayed" else max(before[name], value)
            before[name] = both
    found = {name: sum(each[name] for each in sockets.values()) for name in RESTARTS}
    found["longest_away_ns"] = max(
        (each["longest_away_ns"] for each in sockets.values()), default=0
    )
    return found if found["reconnects"] else {}


def _queues(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(raw.get("queues", ()))


def _of_lines(text: str, source: str, read_job: Callable[[Any], _T]) -> Iterator[_T]:
    """What read_job() makes of each line that is not blank."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield read_job(json.loads(line))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise CountersError(
                f"cannot read the counters in line {number} of {source}", str(error)
            ) from error


def _of_job(raw: Mapping[str, Any]) -> JobCounters:
    return JobCounters(
        job=str(raw.get("job", "")),
        number=int(raw.get("number", 0)),
        wait=str(raw.get("wait", "")),
        ios=int(raw.get("ios", 0)),
        kicks=sum(int(queue.get("kicks", 0)) for queue in raw.get("queues", ())),
        calls=int(raw.get("calls", 0)),
        looks=int(raw.get("looks", 0)),
        sleeps=int(sleeps(raw)),
        cpu_ns=int(raw.get("cpu_ns", 0)),
        way=str(raw.get("adaptive", {}).get("way", "")),
        servers=tuple(_server(queue) for queue in raw.get("queues", ())),
        restarts=restarts(_queues(raw)),
    )


def _server(queue: Mapping[str, Any]) -> tuple[int, int, int] | None:
    if not all(name in queue for name in _SERVER):
        return None
    pid, begun_ns, ended_ns = (int(queue[name]) for name in _SERVER)
    return pid, begun_ns, ended_ns


def _counts(part: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in part.items():
        if name == "queues":
            for queue in value:
                yield from _counts(queue)
        elif name == "batches":
            yield from ((f"batches_{2**place}", count) for place, count in enumerate(value))
        elif isinstance(value, (int, float)) and name not in _SETTINGS and name not in RESTARTS:
            yield _RENAMED.get(name, name), value


# ---- words ----------------------------------------------------------------------------------


def summary(jobs: Sequence[JobCounters]) -> Iterator[str]:
    """One line for each job, IOPS per core of all jobs together, and then the legend."""
    names = Counter(each.job for each in jobs)
    for each in jobs:
        name = each.job if names[each.job] == 1 else f"{each.job} (job {each.number})"
        way = f" (at the end {each.way})" if each.way else ""
        yield f"{name}, wait={each.wait}{way}: {_per_io(each)}{_restarted(each.restarts)}"
    yield from _efficiency(jobs)
    if jobs:
        yield LEGEND


def per_core(jobs: Sequence[JobCounters]) -> dict[str, float | None]:
    """IOPS per core of all jobs together; efficiency.py says what the figures are.

    The I/Os and both CPU times are from the beginning to the end of the jobs, ramp_time included. A
    back-end that serves several jobs or disks counts once.
    """
    servers = [server for job in jobs for server in job.servers]
    spans: dict[int, list[tuple[int, int]]] = {}
    for pid, begun_ns, ended_ns in filter(None, servers):
        spans.setdefault(pid, []).append((begun_ns, ended_ns))
    is_known = bool(servers) and None not in servers
    backend_s = sum(efficiency.covered(each) for each in spans.values()) / 1e9
    return efficiency.of_sides(
        sum(job.ios for job in jobs),
        sum(job.cpu_ns for job in jobs) / 1e9,
        backend_s if is_known else None,
    )


def _efficiency(jobs: Sequence[JobCounters]) -> Iterator[str]:
    found = per_core(jobs)
    both, fio, backend = (found[name] for name in efficiency.SIDES)
    if fio is None:
        return
    if both is None:
        yield f"IOPS per core of {efficiency.FIO_ALONE}: {fio:,.0f}; {efficiency.UNKNOWN}"
        return
    alone = "" if backend is None else f", {backend:,.0f} of the back-end alone"
    yield f"IOPS per core: {both:,.0f} of fio and the back-end, {fio:,.0f} of fio alone{alone}"


def _per_io(job: JobCounters) -> str:
    if job.ios == 0:
        return "no I/O"
    counted = {"kicks": job.kicks, "calls": job.calls, "looks": job.looks, "sleeps": job.sleeps}
    each = ", ".join(f"{name} {_number(count / job.ios)}" for name, count in counted.items())
    return f"{each} per I/O, {_number(job.cpu_ns / 1000 / job.ios)} µs CPU per I/O"


def _restarted(restarts: Mapping[str, int]) -> str:
    if not restarts:
        return ""
    times = "once" if restarts["reconnects"] == 1 else f"{restarts['reconnects']} times"
    return (
        f"; the back-end was away {times}, for {restarts['longest_away_ns'] / 1e6:.0f} ms at most "
        f"and {restarts['away_ns'] / 1e6:.0f} ms in all, and requests were sent again "
        f"({restarts['replayed']})"
    )


def _number(value: float) -> str:
    """Writes numbers such as 3.1 and 0.02: with one decimal from 1 on, and with two below."""
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"
