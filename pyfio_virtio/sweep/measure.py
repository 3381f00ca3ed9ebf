# SPDX-License-Identifier: GPL-2.0-or-later
"""Observes one run of fio: its CPU time and its IOPS over time. Kills fio if it hangs.

Owns the fio process of a run, from start to end. Called from the main thread, because the kernel
kills fio when the thread that started it ends. It writes samples into the folder of fio's output,
and does not judge the numbers. fio has always ended when measure() returns or raises.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pyfio_virtio import files
from pyfio_virtio.fio import fio
from pyfio_virtio.machine import process, sampling
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.machine.sampling import Moment
from pyfio_virtio.results.results import SAMPLES, Sample

STDERR = "fio.log"
# fio does not show its IOPS more often.
ETA_MS = 250
# fio may need this long to end after its jobs, so CPU times near the end are not used.
_LONGEST_END_S = 0.1
_TICKS = 20  # the fewest in a run
_LONGEST_TICK_S = 0.25
# Fewer samples are not worth a picture.
_FEWEST_SAMPLES = 5
_STATUS = re.compile(r"\[(?P<jobs>[^]]*)\]\[[^]]*\].*\[(?P<iops>[^]]*) IOPS\]")
_RATE = re.compile(r"=([\d.]+)([kMG]?)")
_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
_RAMP = "/"

Live = Callable[[float], None]


@dataclass(frozen=True)
class Task:
    """What to run, and how long it should take."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path  # in which fio runs
    runtime_s: float
    ramp_s: float
    patience_s: float  # how long fio may run beyond these two
    backend_pid: int | None
    # What fio gets if we are killed. Jobs that are processes would outlive a fio that is killed.
    death_signal: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Measured:
    """What was observed from outside of fio."""

    status: int  # the exit status of fio; if negative, the signal that ended it
    hung: bool
    wall_s: float  # from fio's start to its end
    moments: Sequence[Moment]  # from fio's start to its end


@dataclass(frozen=True)
class Use:
    """What was used in a part of the time that fio measured; None if it is not known."""

    watched_s: float  # the length of that part
    fio_cpu: CpuUse | None
    backend_cpu: CpuUse | None
    steal_percent: float


@dataclass
class _Observation:
    started_s: float
    moments: list[Moment] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def measure(task: Task, live: Live) -> Measured:
    """Runs fio to its end, or kills it when it is overdue. `live` gets the present IOPS."""
    sampling.prepare()
    seen = _Observation(time.monotonic())
    with (task.folder / STDERR).open("wb") as errors:
        running = fio.start(
            task.command,
            task.environment,
            task.death_signal,
            subprocess.PIPE,
            errors,
            task.folder,
        )
    try:
        hung = not _watch(running, task, seen, live)
        wall_s = time.monotonic() - seen.started_s
    finally:
        # fio has ended or is overdue, or we were interrupted. Some of its jobs may still run.
        fio.send_signal(running, signal.SIGKILL)
    status = process.finish(running)
    _write_samples(task.folder / SAMPLES, seen.samples)
    return Measured(status, hung, wall_s, seen.moments)


def _watch(running: process.Process, task: Task, seen: _Observation, live: Live) -> bool:
    """Samples until fio closes its output. Returns False if fio is overdue."""
    output = process.output_of(running)
    tick_s = min(_LONGEST_TICK_S, task.runtime_s / _TICKS)
    deadline = seen.started_s + task.ramp_s + task.runtime_s + task.patience_s
    while time.monotonic() < deadline:
        seen.moments.append(sampling.look(running.pid, task.backend_pid))
        readable, _, _ = select.select([output], [], [], tick_s)
        text = os.read(output, 65536) if readable else None
        if text == b"":
            return True
        if text:
            _note(text.decode(errors="replace"), seen, live)
    return False


def _note(text: str, seen: _Observation, live: Live) -> None:
    """Reads the IOPS from fio's status line."""
    for line in re.split(r"[\r\n]", text):
        status = _STATUS.search(line)
        if status:
            iops = sum(float(rate[1]) * _UNITS[rate[2]] for rate in _RATE.finditer(status["iops"]))
            live(iops)
            seen.samples.append(_sample(iops, _RAMP in status["jobs"], seen))


def _sample(iops: float, is_ramp: bool, seen: _Observation) -> Sample:
    """The CPU use is since two moments before the last, because the last two may be very close."""
    first, last = seen.moments[max(0, len(seen.moments) - 3)], seen.moments[-1]
    span_s = last.time_s - first.time_s
    return Sample(
        time_s=round(time.monotonic() - seen.started_s, 3),
        is_ramp=is_ramp,
        iops=iops,
        fio_cpu=round(sampling.cpus_used(first.fio, last.fio, span_s), 3),
        backend_cpu=round(sampling.cpus_used(first.backend, last.backend, span_s), 3),
        steal_percent=round(sampling.steal_percent(first, last), 2),
    )


def _write_samples(path: Path, samples: Sequence[Sample]) -> None:
    if len(samples) >= _FEWEST_SAMPLES:
        files.write(path, "".join(f"{json.dumps(asdict(each))}\n" for each in samples))


def _within(moments: Sequence[Moment], elapsed_s: float) -> Sequence[Moment]:
    """The moments that were surely within the measured time. fio ends shortly after that time."""
    if not moments:
        return ()
    end_s = min(_LONGEST_END_S, elapsed_s / 5)
    last = moments[-1].time_s - end_s
    return [each for each in moments if last - (elapsed_s - 2 * end_s) <= each.time_s <= last]


def use(seen: Measured, elapsed_s: float) -> Use:
    """What was used while fio measured. `elapsed_s` is the time that fio itself says, because a run
    may end before its runtime. The ramp before it does not count.
    """
    moments = _within(seen.moments, elapsed_s)
    if len(moments) < 2:
        return Use(0.0, None, None, 0.0)
    first, last = moments[0], moments[-1]
    return Use(
        watched_s=last.time_s - first.time_s,
        fio_cpu=sampling.between(first.fio, last.fio),
        backend_cpu=sampling.backend_between(first, last),
        steal_percent=sampling.steal_percent(first, last),
    )
