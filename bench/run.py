# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of one side, and rounds of runs: fio on one core, its back-end on another.

Each run has a back-end of its own, started for it and ended with it, so that no idle one takes
part. Called from the main thread; nothing is printed here.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench.plan import BLOCKING, FOLDER, Comparison, MemoryFile, Side
from pyfio_virtio.backends import backends
from pyfio_virtio.backends.backends import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio import fio
from pyfio_virtio.fio import output as fio_json

LOOPS = Path(__file__).resolve().parent.parent / "build" / "bench"
# Where a file lies in memory, and where paths are short enough for sockets.
_MEMORY = "/dev/shm"  # noqa: S108 - the folder itself is private
# Beyond its runtime; it only bounds a hang.
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Cores:
    """Which CPU fio runs on, and which its back-end."""

    fio: int = 0
    backend: int = 1

    def shared(self) -> "Cores":
        return Cores(self.fio, self.fio)


@dataclass(frozen=True)
class Run:
    """What one run of fio came to."""

    iops: float
    p50_us: float | None  # None: too few I/Os to tell
    p99_us: float | None
    front_end_cpu_us: float  # per I/O
    backend_cpu_us: float | None  # per I/O; None without a back-end
    wall_ms: float  # fio from start to end


def loop_command(side: Side, folder: str, runtime_s: float) -> list[str]:
    """The command line of a loop in C for the same load; it is told how to wait, or to pause."""
    load = (side.options["iodepth"], side.options["size"], str(round(runtime_s * 1000)))
    way = [side.options["wait"]] if side.program == BLOCKING else [str(side.pause_ns)]
    return [str(LOOPS / str(side.program)), f"{folder}/disk.sock", *load, *way]


def arguments(side: Side, folder: str, runtime_s: float) -> list[str]:
    """fio's command line; the engine comes first, as its options follow it."""
    options = {**side.options}
    if "number_ios" not in options:
        options |= {"time_based": "1", "runtime": f"{round(runtime_s * 1000)}ms"}
    words = [f"--{key}={value.replace(FOLDER, folder)}" for key, value in options.items()]
    return ["fio", "--output-format=json", "--name=bench", *words]


@contextmanager
def disk_of(side: Side, folder: Path, core: int) -> Iterator[backends.Backend | None]:
    """What the side runs on, for as long as it runs."""
    if isinstance(side.disk, BackendSpec):
        spec = replace(side.disk, cpus=str(core))
        backend = backends.start(spec, str(folder / "disk.sock"), str(folder / "log"))
        try:
            yield backend
        finally:
            backend.stop()
    else:
        if isinstance(side.disk, MemoryFile):
            with (folder / "file").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, side.disk.size_bytes)
        yield None


@contextmanager
def private_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_MEMORY) as folder:
        yield Path(folder)


def measure(side: Side, cores: Cores, runtime_s: float) -> Run:
    """Starts the disk, runs fio on it once, and ends it."""
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        backend = stack.enter_context(disk_of(side, folder, cores.backend))
        before = _cpu_s(backend)
        begun = time.monotonic()
        line = (loop_command if side.program else arguments)(side, str(folder), runtime_s)
        output = launch(line, cores.fio, runtime_s)
        wall_ms = (time.monotonic() - begun) * 1000
        spent = None if before is None else (_cpu_s(backend) or before) - before
        return (evaluate_loop if side.program else evaluate)(output, wall_ms, spent)


def launch(command: Sequence[str], core: int, runtime_s: float) -> str:
    """What a run prints; one that failed ends the bench, since half a comparison is none."""
    environment = {**os.environ, "LD_LIBRARY_PATH": fio.library_path(engine.folder())}
    line = ["taskset", "-c", str(core), *command]
    try:
        done = subprocess.run(
            line,
            capture_output=True,
            text=True,
            env=environment,
            timeout=runtime_s + _PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PyfioVirtioError(f"a run did not end: {' '.join(command)}") from error
    if done.returncode:
        raise PyfioVirtioError(f"a run failed: {' '.join(command)}", done.stderr or done.stdout)
    return done.stdout


def evaluate(output: str, wall_ms: float, backend_cpu_s: float | None) -> Run:
    """fio's JSON as one Run."""
    [job] = fio_json.parse_fio_json(output).jobs
    total = fio_json.summarise(job.directions.values())
    if job.error or not total.ios:
        raise PyfioVirtioError("a run did no I/O", f"fio's error number is {job.error}")
    percent = job.user_percent + job.system_percent
    return Run(
        iops=total.iops,
        p50_us=_us(total.p50_ns),
        p99_us=_us(total.p99_ns),
        front_end_cpu_us=percent / 100 * job.runtime_ms * 1000 / total.ios,
        backend_cpu_us=None if backend_cpu_s is None else backend_cpu_s * 1e6 / total.ios,
        wall_ms=wall_ms,
    )


def evaluate_loop(output: str, wall_ms: float, backend_cpu_s: float | None) -> Run:
    """What a loop in C prints as one Run."""
    said = json.loads(output)
    ios = said["ios"]
    return Run(
        iops=ios / said["elapsed_ns"] * 1e9,
        p50_us=_us(said["p50_ns"]),
        p99_us=_us(said["p99_ns"]),
        front_end_cpu_us=said["cpu_ns"] / 1000 / ios,
        backend_cpu_us=None if backend_cpu_s is None else backend_cpu_s * 1e6 / ios,
        wall_ms=wall_ms,
    )


def _us(duration_ns: float | None) -> float | None:
    return None if duration_ns is None else duration_ns / 1000


def _cpu_s(backend: backends.Backend | None) -> float | None:
    if backend is None:
        return None
    times = psutil.Process(backend.process.pid).cpu_times()
    return float(times.user + times.system)


def order(sides: int, round_number: int) -> list[int]:
    """Whose turn it is in a round: another begins each time."""
    first = round_number % sides
    return [*range(first, sides), *range(first)]


def rounds(comparison: Comparison, cores: Cores, count: int) -> Iterator[list[Run]]:
    """A list of runs a round, in the order of comparison.sides."""
    placed = cores.shared() if comparison.shares_core else cores
    sides = comparison.sides
    for number in range(count):
        runs = {
            index: measure(sides[index], placed, comparison.runtime_s)
            for index in order(len(sides), number)
        }
        yield [runs[index] for index in range(len(sides))]
