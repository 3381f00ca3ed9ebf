# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the record of a run from its point, from what was observed, and from the files of fio.

Owns whether a run counts as a success, and the sentence that says why it does not. Reads the run's
folder and changes nothing. Called from the main thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pyfio_virtio import files
from pyfio_virtio.engine import counters
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio.directions import DIRECTIONS, Summary, summarise
from pyfio_virtio.fio.fio import ending, split_notes
from pyfio_virtio.fio.output import FioJob, read_fio_json, together
from pyfio_virtio.fio.words import reason
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.machine.host import Host
from pyfio_virtio.results.record import Point, Record, Scalar
from pyfio_virtio.results.results import COUNTERS, FIO_JSON
from pyfio_virtio.sweep.measure import STDERR, Measured, Use, use
from pyfio_virtio.sweep.settings import WAY


@dataclass(frozen=True)
class Asked:
    """What should be run, when, and on which machine."""

    point: Point
    options: Mapping[str, Scalar]
    repeat: int
    order: int
    started: datetime
    machine: Host

    def begun(self) -> str:
        """When it began, as a record says it."""
        return self.started.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Observed:
    """What was run, and what was observed. If `measured` is None, fio did not run."""

    fio_command: str
    backend_command: str
    measured: Measured | None
    problem: str | None  # a problem outside of fio; fio's own error is in its files


def build(asked: Asked, observed: Observed, folder: Path) -> Record:
    """Makes the record. Its error is None if the run succeeded."""
    seen = observed.measured
    job, error = _outcome(observed, folder)
    job = job if error is None else None
    elapsed_s = job.runtime_ms / 1000 if job else 0.0
    used = use(seen, elapsed_s) if seen else None
    return Record(
        point=asked.point,
        repeat=asked.repeat,
        order=asked.order,
        started=asked.begun(),
        elapsed_s=elapsed_s,
        wall_s=round(seen.wall_s, 6) if seen else None,
        fio_command=observed.fio_command,
        backend_command=observed.backend_command,
        options=options_of(asked, folder),
        total=summarise(job.directions.values() if job else ()),
        directions=_directions(job) if job else {},
        counters=counters_of(folder),
        fio_cpu=_whole(used, used.fio_cpu, elapsed_s) if used else None,
        backend_cpu=_whole(used, used.backend_cpu, elapsed_s) if used else None,
        host={**_host(asked.machine, used), **disk_of(folder)},
        error=error,
    )


def _whole(used: Use, part: CpuUse | None, elapsed_s: float) -> CpuUse | None:
    """The use during the whole measured time, calculated from the part that was watched."""
    if part is None or not used.watched_s:
        return None
    factor = elapsed_s / used.watched_s
    return CpuUse(
        round(part.user_s * factor, 6),
        round(part.system_s * factor, 6),
        round(part.voluntary_switches * factor),
        round(part.involuntary_switches * factor),
    )


def _outcome(observed: Observed, folder: Path) -> tuple[FioJob | None, str | None]:
    """fio's results, of all its jobs together, and the reason why the run failed, if it did."""
    if observed.problem or observed.measured is None:
        return None, observed.problem or "fio was not run"
    status = observed.measured.status
    try:
        run = read_fio_json(folder / FIO_JSON)
    except PyfioVirtioError as failure:
        why = str(failure) if (folder / FIO_JSON).exists() else "it wrote no results"
        return None, words(folder) or f"{ending(status)}: {why}"
    job = together(run.jobs)
    if status or job.error:
        what = ending(status) if status else f"fio's error {job.error}"
        return job, words(folder) or what
    return job, job.problem


def words(folder: Path) -> str:
    """The line in which fio or the engine says why it failed; "": there is none."""
    for name in (FIO_JSON, STDERR):
        path = folder / name
        text = files.read_text(path) if path.exists() else ""
        notes, _ = split_notes(text)
        # Of results that are cut off, only what stands before them is words.
        if said := reason(f"\n{notes}".partition("\n{")[0]):
            return said
    return ""


def options_of(asked: Asked, folder: Path) -> dict[str, Scalar]:
    """The options of the point, with the way of waiting that the engine chose if none is set."""
    named = any(name in asked.options for name in WAY)
    return {**asked.options, **({} if named else _way_taken(folder))}


def _way_taken(folder: Path) -> dict[str, Scalar]:
    return _of_first_job(folder, lambda line: {name: line[name] for name in WAY})


def disk_of(folder: Path) -> dict[str, Scalar]:
    """The size of the disk that the engine saw."""
    return _of_first_job(
        folder, lambda line: {"disk_bytes": int(line["queues"][0]["capacity_bytes"])}
    )


def _of_first_job(folder: Path, chosen: Callable[[Any], dict[str, Scalar]]) -> dict[str, Scalar]:
    """Facts from the first line of the engine's counters; none if they are not there."""
    try:
        return chosen(json.loads(files.read_text(folder / COUNTERS).partition("\n")[0]))
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return {}


def counters_of(folder: Path) -> dict[str, float]:
    """The engine's counters of all jobs; none if it wrote none."""
    try:
        return counters.sums(files.read_text(folder / COUNTERS))
    except (OSError, PyfioVirtioError):
        return {}


def _directions(job: FioJob) -> dict[str, Summary]:
    single = {name: job.directions[name] for name in DIRECTIONS if name in job.directions}
    return {name: summarise([each]) for name, each in single.items() if each.ios}


def _host(machine: Host, used: Use | None) -> dict[str, Scalar]:
    return {**machine.facts(), "steal_percent": round(used.steal_percent, 2) if used else 0.0}
