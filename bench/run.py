# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one side, and rounds of all sides: fio on one core, its back-end on another.

This file owns the job or the command of a side, and the order in which sides take turns. Runs that
were stored by a bench that was interrupted are not repeated. Each run has its own back-end, which
is started for it and ends with it, so that no idle back-end takes part. All of this is called from
the main thread, and prints nothing.
"""

import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.plan import ASYNC, BARE, COPY, PAIR, PYTHON, Comparison, MemoryFile, Side
from pyfio_virtio.backends import kinds
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import MachineError, PyfioVirtioError, UsageError
from pyfio_virtio.fio import fio
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.machine import folders
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.results.record import Point, Record, typed
from pyfio_virtio.results.results import FIO_JSON, JOB, RUNS, SweepFolder
from pyfio_virtio.sizes import format_seconds, parse_size
from pyfio_virtio.sweep.job import SCRATCH, Wanted
from pyfio_virtio.sweep.one_run import Runner, Trial, runner
from pyfio_virtio.sweep.versions import ENGINE, FIO, build, versions

LOOPS = Path(__file__).resolve().parent.parent / "build" / "bench"
# The time beyond its runtime after which a run counts as hung.
PATIENCE_S = 60.0
# Makes the links of a side, and then runs its command.
_LINK = 'for i in $(seq "$0"); do ln -s "$DISK" disk$i; done; exec "$@"'
# Options that say where a side runs, and nothing about the load.
_PLACES = ("ioengine", "filename", "uri")


class OutOfTimeError(Exception):
    """A round was not begun. All rounds before it are stored."""


@dataclass(frozen=True)
class Cores:
    """The CPU of fio and the CPU of its back-end, or lists of them."""

    fio: int | str = 0
    backend: int | str = 1

    def shared(self) -> "Cores":
        return Cores(self.fio, self.fio)

    def for_sides_of(self, comparison: Comparison) -> "Cores":
        if comparison.on_any_core:
            every = ",".join(map(str, sorted(os.sched_getaffinity(0))))
            return Cores(every, every)
        return self.shared() if comparison.shares_core else self


@dataclass(frozen=True)
class Run:
    """The figures of one run for a table; None if a figure is not known."""

    iops: float
    p50_us: float | None
    p99_us: float | None
    front_end_cpu_us: float | None  # per I/O
    backend_cpu_us: float | None  # per I/O
    wall_ms: float | None  # fio from start to end


def run_of(record: Record) -> Run:
    total = record.total
    return Run(
        iops=total.iops,
        p50_us=_thousandth(total.p50_ns),
        p99_us=_thousandth(total.p99_ns),
        front_end_cpu_us=_us_per_io(record.fio_cpu, total.ios),
        backend_cpu_us=_us_per_io(record.backend_cpu, total.ios),
        wall_ms=None if record.wall_s is None else record.wall_s * 1000,
    )


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _us_per_io(cpu: CpuUse | None, ios: int) -> float | None:
    return None if cpu is None else (cpu.user_s + cpu.system_s) * 1e6 / ios


# ---- from a side to what is run ---------------------------------------------------------


def job_text(side: Side, runtime_s: float) -> str:
    """fio's job file; the engine is named first, because its own options must follow it."""
    # A loop measures the latency from the submission on, so fio does too.
    options = {**side.options, "lat_percentiles": "1"}
    if "number_ios" not in options:
        options |= {"time_based": "1", "runtime": format_seconds(runtime_s)}
    return _section("bench", options)


def neighbour_text(runtime_s: float, core: int | str) -> str:
    """A job of fio that burns that core, beside the job of the side."""
    burning = {"ioengine": "cpuio", "cpuload": "100", "cpus_allowed": str(core), "thread": "1"}
    return _section("neighbour", {**burning, "runtime": format_seconds(runtime_s)})


def _section(name: str, options: Mapping[str, str]) -> str:
    return "".join([f"[{name}]\n", *(f"{key}={value}\n" for key, value in options.items())])


def loop_command(side: Side, runtime_s: float) -> list[str]:
    """The command of a loop with the same load; its last argument is the way or the pause."""
    load = (side.options["iodepth"], side.options["size"], str(round(runtime_s * 1000)))
    if side.program == PYTHON:
        program = str(Path(__file__).with_name(f"{PYTHON}.py"))
        return [sys.executable, program, FIO_JSON, side.way, *load, side.options["wait"]]
    if side.program == COPY:
        return [str(loop_path(COPY)), FIO_JSON, *load, side.options["bs"]]
    if side.program == PAIR:
        block_bytes = str(parse_size(side.options["bs"]))
        return [str(loop_path(PAIR)), FIO_JSON, *load, block_bytes, side.options["rw"]]
    batch = [str(side.batch)] if side.program == ASYNC else []
    way = str(side.pause_ns) if side.program == BARE else side.options["wait"]
    return [str(loop_path(str(side.program))), FIO_JSON, *load, *batch, way]


def loop_path(name: str) -> Path:
    """The loop's program, if it was built."""
    path = LOOPS / name
    if not path.is_file():
        raise MachineError(
            f"cannot run {name}", f"there is no {path}", f"build it: make build/bench/{name}"
        )
    return path


def wanted(side: Side, core: int | str) -> Wanted:
    """The disk of the side; its back-end runs on that core."""
    if isinstance(side.disk, BackendSpec):
        return Wanted(replace(side.disk, cpus=str(core)), size_bytes=side.disk.size_bytes)
    if isinstance(side.disk, MemoryFile):
        return Wanted(file=SCRATCH, size_bytes=side.disk.size_bytes)
    return Wanted()


def order(sides: int, round_number: int) -> list[int]:
    """The order of the sides in a round; each round begins with another side."""
    first = round_number % sides
    return [*range(first, sides), *range(first)]


@dataclass(frozen=True)
class Turns:
    """Runs the sides in turn, and stores their records."""

    runner: Runner
    cores: Cores
    fio: Fio
    versions: Mapping[str, str]
    end_s: float = math.inf  # no round begins after this time of time.monotonic()

    def rounds(self, comparison: Comparison, count: int) -> Iterator[list[Run]]:
        """A list of runs for each round, in the order of comparison.sides."""
        for records in self.kept_rounds(comparison, count):
            yield [run_of(record) for record, _ in records]

    def kept_rounds(
        self, comparison: Comparison, count: int
    ) -> Iterator[list[tuple[Record, Path]]]:
        """The records for each round, each with the folder of its files."""
        cores = self.cores.for_sides_of(comparison)
        trials = [
            self.trial(side, comparison.full_title, cores, comparison.runtime_s)
            for side in comparison.sides
        ]
        for number in range(count):
            folder = self.runner.folder
            yield [
                (record, folder.run_folder(trial.point.hash, number + 1))
                for record, trial in zip(self._round(trials, number), trials, strict=True)
            ]

    def _round(self, trials: Sequence[Trial], number: int) -> list[Record]:
        """Repeats all of an interrupted round, because its runs must take place close together."""
        kept = [self.runner.finished(trial.point).get(number + 1) for trial in trials]
        whole = [record for record in kept if record]
        if len(whole) == len(trials):
            return whole
        self._check_time()
        found = {
            index: self._run(trials[index], number + 1) for index in order(len(trials), number)
        }
        return [found[index] for index in range(len(trials))]

    def once(self, trial: Trial) -> tuple[Record, Path]:
        """A single run that is no part of a round, and the folder of its files."""
        record = self.runner.finished(trial.point).get(1)
        if not record:
            self._check_time()
            record = self._run(trial, 1)
        return record, self.runner.folder.run_folder(trial.point.hash, 1)

    def _check_time(self) -> None:
        if time.monotonic() > self.end_s:
            raise OutOfTimeError

    def _run(self, trial: Trial, repeat: int) -> Record:
        record = self.runner.run(trial, repeat)
        if record.error:  # a comparison needs all its runs
            folder = self.runner.folder.run_folder(trial.point.hash, repeat)
            raise PyfioVirtioError(f"a run failed, see {folder}", record.error)
        return record

    def trial(
        self,
        side: Side,
        title: str,
        cores: Cores | None = None,
        runtime_s: float = 1.0,
        under: Sequence[str] = (),
    ) -> Trial:
        """All that is needed to run the side; `under` is a program that runs fio."""
        cores = cores or self.cores
        load = job_text(side, runtime_s)
        if side.has_neighbour:
            load += neighbour_text(runtime_s, cores.backend)
        program = [self.fio.path, "--output-format=json", f"--output={FIO_JSON}", JOB]
        if side.program:
            _, *words = program = loop_command(side, runtime_s)
            load = f"# {' '.join([side.program, *words])}\n"
        links = ["sh", "-c", _LINK, str(side.links)] if side.links else []
        command = ["taskset", "-c", str(cores.fio), *links, *under, *program]
        disk = wanted(side, cores.backend)
        # The text is part of the point, so a side in another comparison or on another CPU is
        # another point.
        text = f"# {title}; CPU {cores.fio}\n{load}"
        options = {key: typed(each) for key, each in side.options.items() if key not in _PLACES}
        return Trial(self._point(side, text, disk), disk, options, command, runtime_s)

    def _point(self, side: Side, text: str, disk: Wanted) -> Point:
        engine_version = self.versions[ENGINE] if side.engine == engine.NAME else ""
        if side.program and side.program != PYTHON:
            engine_version = build(loop_path(side.program))
        return Point(
            job=text,
            engine=side.program or side.engine,
            engine_version=engine_version,
            fio_version=self.versions[FIO],
            backend=disk.describe(),
            backend_version=self.versions.get(disk.spec.kind, "") if disk.spec else "",
        )


# ---- stored runs ---------------------------------------------------------------------


def unfinished(folder: Path) -> Path:
    """The folder in which runs are stored until all names of the command are done."""
    return folder.with_name(f"{folder.name}.unfinished")


@contextmanager
def turns(
    folder: Path,
    cores: Cores,
    patience_s: float = PATIENCE_S,
    *,
    on_disk: bool = False,
    end_s: float = math.inf,
) -> Iterator[Turns]:
    """Turns that continue with the runs in unfinished(folder). The scratch file of the sides is
    on a disk or in memory. No round begins after end_s, a time of time.monotonic().
    """
    if folder.exists() and not (folder / RUNS).is_file():
        raise UsageError(
            f"{folder} is not replaced", "it holds no runs", "name another folder with --output"
        )
    found = fio.find()
    has_daemon = shutil.which(kinds.QSD) is not None
    known = versions(found, ("builtin", "qsd", "nbd") if has_daemon else ("builtin",))
    kept = SweepFolder(unfinished(folder))
    private = folders.run_folder_path(None if on_disk else folders.memory_folder())
    with runner(kept, private, known, patience_s=patience_s) as running:
        yield Turns(running, cores, found, known, end_s)


def finish(folder: Path) -> None:
    """Moves the runs to `folder`, where they replace the runs of the previous bench."""
    shutil.rmtree(folder, ignore_errors=True)
    unfinished(folder).rename(folder)
