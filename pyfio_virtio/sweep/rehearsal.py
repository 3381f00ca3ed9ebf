# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets the engine begin the jobs of a sweep without any I/O, to see whether it can.

fio has an option for this, create_only. The engine then connects, negotiates, and makes its memory
and its queues. Each value of each axis is in at least one of the jobs. A disk that the sweep starts
is played by an empty one of the same kind and size, so no storage is touched. Nothing is left when
rehearse() returns or raises. Called from the main thread.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from pyfio_virtio import files, reach
from pyfio_virtio.backends import option_keys
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.errors import PyfioVirtioError, UsageError
from pyfio_virtio.fio.fio import ending
from pyfio_virtio.machine import folders, signals
from pyfio_virtio.reach import PATHS, Use
from pyfio_virtio.results.results import FIO_JSON, JOB
from pyfio_virtio.sweep.job import Wanted
from pyfio_virtio.sweep.measure import Task, measure
from pyfio_virtio.sweep.outcome import words
from pyfio_virtio.sweep.plan import Value
from pyfio_virtio.sweep.points import Planned, Sweep
from pyfio_virtio.sweep.servers import Servers, servers
from pyfio_virtio.sweep.settings import VIRTIO

# A job that has not begun after this time is left to the real run.
_PATIENCE_S = 15.0
_TICK_S = 1.0
# A job must write no file and run no command before the user was asked, and must not wait.
_LEFT_OUT = {
    *(name for name, use in PATHS.items() if use in (Use.OUTPUT, Use.LOG, Use.COMMAND)),
    *("startdelay", "thread"),
}

# What the engine says of a back-end that has another client or that a signal has stopped.
_BUSY = "does not accept connections"
_OF_BUSY = "end its other client, continue its process (kill -CONT), or start it again"


def rehearse(sweep: Sweep) -> None:
    """Refuses a sweep of which the engine cannot begin a job; says which value is at fault."""
    private = folders.run_folder_path()
    chosen = list(covering(sweep.points()))
    chosen.sort(key=lambda each: (each[0].wanted.describe(), each[0].choice.programs))
    with (
        signals.ending_tidily(),
        folders.run_folder(private),
        servers(private, keep=True) as disks,
    ):
        for _, group in groupby(chosen, lambda each: (each[0].wanted, each[0].choice.programs)):
            _Rehearsal(sweep, disks, private).try_out(list(group))


def covering(points: Sequence[Planned]) -> Iterator[tuple[Planned, list[Value]]]:
    """Some points of our engine that have all values together, and the new values of each."""
    seen: set[Value] = set()
    for planned in points:
        new = [value for value in planned.choice.values if value not in seen]
        if planned.choice.engine == VIRTIO and new:
            seen.update(new)
            yield planned, new


class _Rehearsal:
    """Jobs on one disk, with one fio."""

    def __init__(self, sweep: Sweep, disks: Servers, private: Path) -> None:
        self._sweep = sweep
        self._disks = disks
        self._folder = private / "rehearsal"

    def try_out(self, group: Sequence[tuple[Planned, list[Value]]]) -> None:
        """Tries all jobs in one call, and one after the other only if that fails."""
        # Together, each job is a process, so that they share no connection. Clones of a job are
        # processes, too, and some back-ends serve only one at a time.
        single = [planned for planned, _ in group if planned.choice.number("numjobs") == 1]
        are_fine = len(single) > 1 and not self._failure(single)
        for planned, new in group:
            if are_fine and planned in single:
                continue
            if why := self._failure([planned]):
                named = _named(planned, new, why)
                socket = planned.wanted.socket
                place = f" on {socket}" if socket and socket not in named else ""
                advice = _OF_BUSY if _BUSY in why else ""
                what = f"cannot measure {named}{place}"
                raise UsageError(what, why.removeprefix(f"{named}: "), advice)

    def _failure(self, points: Sequence[Planned]) -> str:
        """Why fio cannot begin these jobs; "" if it can."""
        wanted = _played(points[0].wanted)
        try:
            served = self._disks.serve(wanted)
        except PyfioVirtioError as failure:
            options = wanted.spec.options if wanted.spec else ()
            return f"{failure}; its options are {' '.join(options)}" if options else str(failure)
        folder = self._folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shared = "stonewall" if len(points) > 1 else "thread=1"
        sections = (_section(number, each, shared) for number, each in enumerate(points))
        files.write(folder / JOB, "".join(sections))
        choice = points[0].choice
        fio = self._sweep.programs.fios[choice.programs[0]].path
        task = Task(
            command=[fio, "--output-format=json", f"--output={FIO_JSON}", JOB],
            environment=served.environment(self._sweep.programs.folder(choice.programs)),
            folder=folder,
            runtime_s=_TICK_S,
            ramp_s=0,
            patience_s=_PATIENCE_S,
            backend_pid=None,
            death_signal=signal.SIGTERM,
        )
        seen = measure(task, lambda iops: None)
        if seen.hung or seen.status == 0:
            return ""
        said = words(folder) or ending(seen.status)
        return said.removeprefix("fio_virtio: ").removeprefix(f"{served.disk}: ")


def _section(number: int, planned: Planned, shared: str) -> str:
    """The job as a section that begins and does nothing."""
    lines = planned.point.job.splitlines()
    kept = [each for each in lines if each[:1] not in ("[", "") and _name(each) not in _LEFT_OUT]
    return "\n".join([f"[{number}]", *kept, shared, "create_only=1", ""])


def _name(line: str) -> str:
    return line.partition("=")[0]


def _named(planned: Planned, new: Sequence[Value], why: str) -> str:
    """What was tried for the first time. Of a whole point, what the reason speaks of."""
    if len(new) < len(planned.choice.values):
        return " and ".join(f"{name}={value}" for name, value in new)
    options = [f"{name}={value}" for name, value in planned.choice.options if f"{name}=" in why]
    return options[0] if len(options) == 1 else planned.choice.label


def _played(wanted: Wanted) -> Wanted:
    """The same with an empty disk in place of one that the sweep starts."""
    spec = wanted.spec
    if spec is None:
        return wanted
    size_bytes = spec.size_bytes if spec.file is None else _size(spec.file) or spec.size_bytes
    empty = replace(
        spec,
        storage="null",
        size_bytes=max(size_bytes - size_bytes % spec.block_size, spec.block_size),
        options=tuple(each for each in spec.options if _is_harmless(spec, each)),
    )
    return replace(wanted, spec=empty)


def _is_harmless(spec: BackendSpec, option: str) -> bool:
    """Whether the option names no file, and does not end the back-end after some clients."""
    is_own = not reach.of_backend(replace(spec, options=(option,))).others
    return is_own and option_keys.key_of(option) != "clients"


def _size(path: Path) -> int:
    """The size of a file or a device; 0 if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.seek(0, os.SEEK_END)
    except OSError:
        return 0
