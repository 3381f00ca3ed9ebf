# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of fio: which job runs on which disk, and the back-end that is started for the run.

plan() makes a Plan, which says everything that will happen. carry_out() starts the back-end, writes
the job into a private folder and runs fio. Called from the main thread. Nothing is printed here,
and the user is not asked.
"""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio import convert, reach
from pyfio_virtio.backends import backends
from pyfio_virtio.engine import counters, engine
from pyfio_virtio.engine.counters import JobCounters
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio import arguments as fio_arguments
from pyfio_virtio.fio import fio, job
from pyfio_virtio.machine import folders, signals
from pyfio_virtio.reach import Reach

DEFAULT_JOB = Path(__file__).resolve().parent / "jobs" / "virtio.fio"
# Files in the folder of the run.
_SOCKET, _JOB, _COUNTERS = "disk.sock", "job.fio", "counters.json"


@dataclass(frozen=True)
class Disk:
    """Where the job runs: on a disk that we start, on a socket, or on the disks that it names."""

    spec: backends.BackendSpec | None = None  # a disk that we start
    socket: str | None = None  # a socket that somebody else serves

    def describe(self) -> str:
        if self.spec:
            return self.spec.describe()
        return self.socket or "the disks that it names"

    def size_bytes(self) -> int | None:
        """Its size; None if we do not start it, because only its server knows the size."""
        if self.spec is None:
            return None
        file = self.spec.file
        return file.stat().st_size if file and file.is_file() else self.spec.size_bytes


@dataclass(frozen=True)
class Plan:
    title: str
    folder: Path  # of the run; carry_out() makes it
    job: job.Job  # as it is passed to fio
    disk: Disk
    fio: fio.Fio
    program_options: tuple[str, ...]
    environment: dict[str, str]  # is added to ours
    as_json: bool
    counters: tuple[str, ...] = ()  # files to which the engine writes them
    changes: tuple[str, ...] = ()  # a sentence for each change by --convert

    def describe(self) -> str:
        return f"{self.fio.release} runs {self.title} on {self.disk.describe()}"

    def note(self) -> str:
        """What the user should know about the disk before reading the results; usually nothing."""
        return self.disk.spec.note() if self.disk.spec else ""

    def reach(self) -> Reach:
        """What the job may change that was not made for it, and what else it would do."""
        found = reach.of_job(self.job, Path(), "--readonly" in self.program_options)
        if self.disk.spec is None:
            return found
        return found.behind(self.socket, None if self.disk.spec.read_only else self.disk.spec.file)

    @property
    def socket(self) -> str:
        """The socket of the disk that is started for the run."""
        return str(self.folder / _SOCKET)

    def fio_command(self) -> list[str]:
        return fio.command(self.fio, self.folder / _JOB, self.program_options, self.as_json)

    def script(self) -> str:
        """Everything that carry_out() would do, for --dry-run."""
        parts = [f"# {self.folder / _JOB}", self.job.text()]
        if self.disk.spec:
            parts += ["# back-end", backends.dry_command(self.disk.spec, self.socket), ""]
        variables = [f"{key}={shlex.quote(value)}" for key, value in self.environment.items()]
        parts += ["# fio", " ".join([*variables, shlex.join(self.fio_command())])]
        return "\n".join(parts)


def plan(
    job_file: Path | None,
    fio_options: Sequence[str],
    disk: Disk,
    program: str = "fio",
    as_json: bool = False,
    with_counters: bool = False,
    converting: bool = False,
) -> Plan:
    """Reads the job, finds fio, and checks that the job, fio and the engine work together."""
    arguments = fio_arguments.parse(fio_options)
    title, given = _job(job_file, arguments)
    wanted = arguments.applied(given)
    found = fio.find(program)
    if not wanted.sections():
        raise UsageError(
            f"cannot run {title}", "it has no job", "begin a job with a line such as [job1]"
        )
    changes: tuple[str, ...] = ()
    if converting:
        wanted, changes = _converted(wanted, disk, found)
    environment = {}
    if wanted.uses_engine():
        fio.check_release(found, engine.fio_release())
        fio.check_engine_loads(found, engine.folder(), engine.NAME)
        environment["LD_LIBRARY_PATH"] = fio.library_path(engine.folder())
    folder = folders.run_folder_path()
    placed = _placed(title, wanted, disk, folder)
    if with_counters:
        placed = _counted(placed, folder)
    disk = _fitting(disk, wanted)
    return Plan(
        title=title,
        folder=folder,
        job=placed,
        disk=disk,
        fio=found,
        program_options=arguments.program,
        environment=environment,
        as_json=as_json,
        counters=tuple(placed.stats_files()) if with_counters else (),
        changes=changes,
    )


def _converted(wanted: job.Job, disk: Disk, found: fio.Fio) -> tuple[job.Job, tuple[str, ...]]:
    """The job converted to our engine, and a sentence for each change."""
    if disk.spec is None and disk.socket is None:
        raise UsageError(
            "cannot convert a job that runs without changes (--backend none)",
            "--convert puts the job on another disk",
            "leave --convert or --backend none out",
        )

    def options_of(name: str) -> frozenset[str]:
        if name in fio.engines(found):
            return fio.engine_options(found, engine.folder(), name)
        # fio would have to load that engine to list its options. So each option that neither fio
        # nor our engine knows counts as an option of that engine.
        ours = fio.engine_options(found, engine.folder(), engine.NAME)
        keys = {job.canonical(line.key) for line in wanted.lines if line.key} - ours
        return frozenset(key for key in keys if not fio.has_option(found, key))

    result = convert.convert(wanted, options_of, disk.size_bytes())
    return result.job, result.changes


def _placed(title: str, wanted: job.Job, disk: Disk, folder: Path) -> job.Job:
    """The job on our disk, instead of the disks that it names."""
    socket = str(folder / _SOCKET) if disk.spec else disk.socket
    if socket is None:
        return wanted
    for section in convert.foreign(wanted):
        raise UsageError(
            f"will not run {title} on {disk.describe()}",
            f"[{section.name}] uses {reach.engine_in_words(section)}, which works on files",
            "add --convert to run the same load with ioengine=fio_virtio, or --backend none to "
            "run the job without changes",
        )
    return reach.on_disk(wanted, socket)


def _counted(wanted: job.Job, folder: Path) -> job.Job:
    """The job with a file for the engine's counters, unless it names one itself."""
    if not wanted.uses_engine():
        raise UsageError(
            "cannot count", f"no job uses ioengine={job.ENGINE}", "leave --counters out"
        )
    if wanted.stats_files():
        return wanted
    return wanted.with_engine_option("stats_file", str(folder / _COUNTERS))


def _fitting(disk: Disk, wanted: job.Job) -> Disk:
    """The disk, with the number of queues and the kind of device that the job needs."""
    if disk.spec is None:
        return disk
    spec = replace(disk.spec, queues=max(1, wanted.queues()))
    if "scsi" in wanted.devices():
        spec = spec.as_scsi()
    spec.check()
    return Disk(spec)


def _job(job_file: Path | None, arguments: fio_arguments.FioArguments) -> tuple[str, job.Job]:
    if job_file is None and arguments.jobs:
        return "the jobs of the command line", job.Job(())
    path = job_file or DEFAULT_JOB
    return str(job_file or "jobs/virtio.fio"), job.read(path)


@dataclass(frozen=True)
class Result:
    outcome: fio.Outcome
    backend_died: str | None  # its last words, if the back-end ended during the run
    counters: Sequence[JobCounters] = ()


def carry_out(plan: Plan) -> Result:
    """Runs the plan to its end. Every process that it starts has ended when it returns."""
    # While fio runs, launch() passes the signals on to it instead.
    with (
        signals.ending_tidily(_exit_by),
        folders.run_folder(plan.folder),
        _backend(plan) as backend,
    ):
        (plan.folder / _JOB).write_text(plan.job.text())
        outcome = fio.launch(plan.fio_command(), plan.environment, capture=plan.as_json)
        died = backend is not None and not backend.is_running()
        # If fio refuses the options of a job, it says why and there is no file.
        files = [path for path in map(Path, plan.counters) if path.exists()]
        words = backend.last_words() if backend and died else None
        return Result(outcome, words, counters.read(files))


@contextmanager
def _backend(plan: Plan) -> Iterator[backends.Backend | None]:
    if plan.disk.spec is None:
        yield None
        return
    log = plan.folder / "backend.log"
    backend = backends.start(plan.disk.spec, plan.socket, str(log))
    try:
        yield backend
    finally:
        backend.stop()


def _exit_by(number: int) -> SystemExit:
    """Exits with the status that a shell gives to a process that a signal ended."""
    return SystemExit(128 + number)
