# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's counters: a line of stats_file a job, read and put into words.

Everything but read() is pure; any thread may call. It trusts no field to be there, and leaves the
judging of what was counted to people.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyfio_virtio.errors import PyfioVirtioError

LEGEND = (
    "(kick: fio wakes the back-end by a system call; call: the back-end wakes fio;\n"
    " look: fio reads the ring; sleep: fio sleeps, for a time or until a call;\n"
    " CPU: all that the job's thread used, fio's own work included)"
)


@dataclass(frozen=True)
class JobCounters:
    """What one job counted from its beginning to its end, ramp_time included."""

    job: str
    number: int  # fio's, from 1
    wait: str
    ios: int
    kicks: int
    calls: int
    looks: int
    sleeps: int  # for a time (sleepy, adaptive), or on the eventfd (event, adaptive)
    cpu_ns: int
    way: str = ""  # that wait=adaptive ended with


def read(paths: Iterable[Path]) -> list[JobCounters]:
    """All jobs of the given files, in fio's order; a job that did not run has no line."""
    found: list[JobCounters] = []
    for path in paths:
        try:
            text = path.read_text(errors="replace")
        except OSError as error:
            raise PyfioVirtioError(
                f"cannot read the counters in {path}", error.strerror or str(error)
            ) from error
        found += parse(text, str(path))
    return sorted(found, key=lambda each: each.number)


def parse(text: str, source: str = "stats_file") -> list[JobCounters]:
    """One JSON object a line."""
    try:
        return [_job(json.loads(line)) for line in text.splitlines() if line.strip()]
    except (ValueError, TypeError, AttributeError) as error:
        raise PyfioVirtioError(f"cannot read the counters in {source}", str(error)) from error


def _job(raw: dict[str, Any]) -> JobCounters:
    queues: Sequence[dict[str, Any]] = raw.get("queues", ())
    return JobCounters(
        job=str(raw.get("job", "")),
        number=int(raw.get("number", 0)),
        wait=str(raw.get("wait", "")),
        ios=int(raw.get("ios", 0)),
        kicks=sum(int(queue.get("kicks", 0)) for queue in queues),
        calls=int(raw.get("calls", 0)),
        looks=int(raw.get("looks", 0)),
        sleeps=int(raw.get("sleeps", 0)) + int(raw.get("polls", 0)),
        cpu_ns=int(raw.get("cpu_ns", 0)),
        way=str(raw.get("adaptive", {}).get("way", "")),
    )


def summary(jobs: Sequence[JobCounters]) -> Iterator[str]:
    """A line a job, and what the words mean."""
    names = Counter(each.job for each in jobs)
    for each in jobs:
        name = each.job if names[each.job] == 1 else f"{each.job} (job {each.number})"
        way = f", at last {each.way}" if each.way else ""
        yield f"{name}, wait={each.wait}{way}: {_per_io(each)}"
    if jobs:
        yield LEGEND


def _per_io(job: JobCounters) -> str:
    if job.ios == 0:
        return "no I/O"
    counted = {"kicks": job.kicks, "calls": job.calls, "looks": job.looks, "sleeps": job.sleeps}
    each = ", ".join(f"{name} {_number(count / job.ios)}" for name, count in counted.items())
    return f"{each} per I/O, {_number(job.cpu_ns / 1000 / job.ios)} µs CPU per I/O"


def _number(value: float) -> str:
    """3.1, 0.02: two digits that count, and none that do not."""
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"
