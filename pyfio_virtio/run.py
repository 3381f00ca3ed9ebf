# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of fio: what is to run where, and the disk that lives as long as the run.

A Plan is made first and says all that will happen; carrying it out starts the back-end, writes
the job into a private folder and hands over to fio. Called from the main thread. Nothing is
printed here, and nobody is asked.
"""

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from pyfio_virtio import backends, engine, fio, fio_arguments, folders, job

DEFAULT_JOB = Path(__file__).resolve().parent / "jobs" / "virtio.fio"
# In the folder of the run.
_SOCKET, _JOB = "disk.sock", "job.fio"


@dataclass(frozen=True)
class Disk:
    """Where the job runs: on a disk to start, on one that is served, or where it says itself."""

    spec: backends.BackendSpec | None = None  # to start
    socket: str | None = None  # served by somebody

    def describe(self) -> str:
        if self.spec:
            return self.spec.describe()
        return self.socket or "the disks that it names"


@dataclass(frozen=True)
class Plan:
    title: str
    job: job.Job  # filename= is not replaced yet
    disk: Disk
    fio: fio.Fio
    program_options: tuple[str, ...]
    environment: dict[str, str]  # added to ours
    as_json: bool

    def describe(self) -> str:
        return f"{self.fio.release} runs {self.title} on {self.disk.describe()}"

    def written(self) -> list[str]:
        """The disks that the job may change and that are not made for it."""
        if self.disk.spec or "--readonly" in self.program_options:
            return []
        if self.disk.socket:
            return [self.disk.socket] if self.job.writing() else []
        return self.job.written_disks()

    def job_text(self, folder: Path) -> str:
        socket = self._socket(folder)
        if socket is None:
            return self.job.text()
        return self.job.with_options({"filename": job.escaped_filename(socket)}).text()

    def fio_command(self, folder: Path) -> list[str]:
        return fio.command(self.fio, folder / _JOB, self.program_options, self.as_json)

    def script(self, folder: Path) -> str:
        """All that carrying it out would do, for --dry-run."""
        parts = [f"# {folder / _JOB}", self.job_text(folder)]
        if self.disk.spec:
            socket = str(folder / _SOCKET)
            parts += ["# back-end", backends.dry_command(self.disk.spec, socket), ""]
        variables = [f"{key}={shlex.quote(value)}" for key, value in self.environment.items()]
        parts += ["# fio", " ".join([*variables, shlex.join(self.fio_command(folder))])]
        return "\n".join(parts)

    def _socket(self, folder: Path) -> str | None:
        return str(folder / _SOCKET) if self.disk.spec else self.disk.socket


def plan(
    job_file: Path | None,
    fio_options: Sequence[str],
    disk: Disk,
    program: str = "fio",
    as_json: bool = False,
) -> Plan:
    """Reads the job, finds fio, and checks that the two and the engine go together."""
    arguments = fio_arguments.parse(fio_options)
    title, given = _job(job_file, arguments)
    wanted = arguments.applied(given)
    found = fio.find(program)
    environment = {}
    if wanted.uses_engine():
        fio.check_release(found, engine.fio_release())
        environment["LD_LIBRARY_PATH"] = fio.library_path(engine.folder())
    if disk.spec:
        spec = replace(disk.spec, queues=max(1, wanted.queues()))
        spec.check()
        disk = Disk(spec)
    return Plan(title, wanted, disk, found, arguments.program, environment, as_json)


def _job(job_file: Path | None, arguments: fio_arguments.FioArguments) -> tuple[str, job.Job]:
    if job_file is None and arguments.jobs:
        return "the command line's jobs", job.Job(())
    path = job_file or DEFAULT_JOB
    return str(job_file or "jobs/virtio.fio"), job.read(path)


@dataclass(frozen=True)
class Result:
    outcome: fio.Outcome
    backend_died: str | None  # its last words, when it did not live to the end


def carry_out(plan: Plan) -> Result:
    """Runs the plan to its end; whatever was started for it has ended then."""
    with _tidy_end(), folders.run_folder() as folder, _backend(plan, folder) as backend:
        command = plan.fio_command(folder)
        (folder / _JOB).write_text(plan.job_text(folder))
        outcome = fio.launch(command, plan.environment, capture=plan.as_json)
        died = backend is not None and not backend.is_running()
        return Result(outcome, backend.last_words() if backend and died else None)


@contextmanager
def _backend(plan: Plan, folder: Path) -> Iterator[backends.Backend | None]:
    if plan.disk.spec is None:
        yield None
        return
    socket = str(folder / _SOCKET)
    backend = backends.start(plan.disk.spec, socket, str(folder / "backend.log"))
    try:
        yield backend
    finally:
        backend.stop()


@contextmanager
def _tidy_end() -> Iterator[None]:
    """SIGTERM and SIGHUP end us by way of every `finally`; while fio runs, it gets them."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
