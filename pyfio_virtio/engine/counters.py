# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's counters of a run, from the file that the option stats_file names.

Owns how that file's lines, one a job, become one flat set of sums for a record. Pure; any
thread may call it. The file itself, with how wait=adaptive decided, stays whole beside the
run. It never divides: what is per I/O is worked out where it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pyfio_virtio.errors import PyfioVirtioError

# Numbers of a job or queue that are no counts, so that their sum says nothing.
_SETTINGS = {
    "number",
    "sleepy_poll",
    "queue",
    "queue_size",
    "indirect",
    "event_idx",
    "call_suppression",
    "page_bytes",
}
# I/Os that the engine reaped, those of the ramp among them: fio's column ios counts the others.
REAPED = "reaped"
_RENAMED = {"ios": REAPED}


class CountersError(PyfioVirtioError):
    """The file does not hold the engine's counters."""


def read_counters(text: str) -> dict[str, float]:
    """Every counter, summed over jobs and queues; batches by their smallest size."""
    sums: dict[str, float] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for name, value in _counts(_job(line, number)):
            sums[name] = sums.get(name, 0) + value
    return sums


def _job(line: str, number: int) -> Mapping[str, Any]:
    try:
        job = json.loads(line)
    except ValueError as failure:
        raise CountersError(f"line {number} of the engine's statistics", str(failure)) from failure
    if not isinstance(job, dict):
        raise CountersError(f"line {number} of the engine's statistics", "it is no object")
    return job


def _counts(part: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in part.items():
        if name == "queues":
            for queue in value:
                yield from _counts(queue)
        elif name == "batches":
            yield from ((f"batches_{2**place}", count) for place, count in enumerate(value))
        elif isinstance(value, (int, float)) and name not in _SETTINGS:
            yield _RENAMED.get(name, name), value
