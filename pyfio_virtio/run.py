# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of fio: which job runs on which disk, and the back-end that is started for the run.

plan() makes a Plan, which says everything that will happen. carry_out() starts the back-end, writes
the job into a private folder and runs fio. Called from the main thread. Nothing is printed here,
and the user is not asked.
"""

import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from pyfio_virtio import convert, files, reach
from pyfio_virtio.backends import backends, command_lines, unix_sockets, writers
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.builds import builds
from pyfio_virtio.engine import counters, engine
from pyfio_virtio.engine.counters import JobCounters
from pyfio_virtio.errors import UsageError
from pyfio_virtio.explain import requests
from pyfio_virtio.explain.requests import Requests
from pyfio_virtio.fio import acceptance, bundled, fio, job, readings, together
from pyfio_virtio.fio import arguments as fio_arguments
from pyfio_virtio.machine import folders, sampling, signals
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.reach import Reach

# Files in the folder of the run.
_SOCKET, _JOB, _NEXT_JOB, _COUNTERS = "disk.sock", "job.fio", "job-{}.fio", "counters.json"
_REQUESTS = "requests.json"
# Times are taken of one request in so many.
EXPLAIN_EVERY = 64


@dataclass(frozen=True)
class Disk:
    """Where the job runs: on a disk that we start, on a socket, or on the disks that it names."""

    spec: BackendSpec | None = None  # a disk that we start
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
    jobs: tuple[job.Job, ...]  # as they are passed to fio, one for each job file
    disk: Disk
    fio: fio.Fio
    program_options: tuple[str, ...]
    environment: dict[str, str]  # is added to ours
    as_json: bool
    counters: tuple[str, ...] = ()  # files to which the engine writes them
    explains: bool = False  # the times of single requests are taken
    changes: tuple[str, ...] = ()  # a sentence for each change by --convert
    misread: tuple[readings.Misread, ...] = ()  # numbers that fio reads only in part

    def describe(self) -> str:
        return f"{self.fio.release} runs {self.title} on {self.disk.describe()}"

    def reach(self) -> Reach:
        """What the job may change that was not made for it, and what else it would do."""
        read_only = "--readonly" in self.program_options
        found = reach.joined(reach.of_job(each, Path(), read_only) for each in self.jobs)
        if self.disk.spec is None:
            return found
        return found.behind(self.socket, None if self.disk.spec.read_only else self.disk.spec.file)

    def watched_on(self, cpu: int | None) -> "Plan":
        """The same with a thread on this CPU that takes the times of the used ring."""
        if cpu is None:
            return self
        jobs = (each.with_engine_option("explain_watch", str(cpu)) for each in self.jobs)
        return replace(self, jobs=tuple(jobs))

    @property
    def socket(self) -> str:
        """The socket of the disk that is started for the run."""
        return str(self.folder / _SOCKET)

    def job_files(self) -> list[Path]:
        """Where carry_out() writes the jobs. fio reads the files in this order."""
        others = range(2, len(self.jobs) + 1)
        return [self.folder / _JOB, *(self.folder / _NEXT_JOB.format(number) for number in others)]

    def fio_command(self) -> list[str]:
        return fio.command(self.fio, self.job_files(), self.program_options, self.as_json)

    def script(self) -> str:
        """Everything that carry_out() would do, for --dry-run."""
        parts: list[str] = []
        for path, each in zip(self.job_files(), self.jobs, strict=True):
            parts += [f"# {path}", each.text()]
        if self.disk.spec:
            parts += ["# back-end", command_lines.dry_command(self.disk.spec, self.socket), ""]
        variables = [f"{key}={shlex.quote(value)}" for key, value in self.environment.items()]
        parts += ["# fio", " ".join([*variables, shlex.join(self.fio_command())])]
        return "\n".join(parts)


def plan(
    job_files: Sequence[Path],
    fio_options: Sequence[str],
    disk: Disk,
    program: str = "fio",
    as_json: bool = False,
    with_counters: bool = False,
    converting: bool = False,
    explain_every: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Plan:
    """Reads the jobs, finds fio, and checks that the jobs, fio and the engine work together.

    With `explain_every`, times are taken of one request in so many. With `tell`, an engine that is
    missing is built for this fio, which is told.
    """
    found = fio.find(program)
    read = [job.read(bundled.find(path)) for path in job_files]
    if _needs_engine(read, fio_options, converting):
        builds.folder(found, tell)  # its options are needed to read those that were typed
    arguments = fio_arguments.parse(fio_options, _option_names(found, read, fio_options))
    title, given = _jobs(job_files, read, arguments)
    wanted = _applied(arguments, given, found)
    if not any(each.sections() for each in wanted):
        raise UsageError(
            f"cannot run {title}", "it has no job", "begin a job with a line such as [job1]"
        )
    changes: tuple[str, ...] = ()
    if converting:
        wanted, changes = _converted(wanted, disk, found)
    environment = {}
    if any(each.uses_engine() for each in wanted):
        environment["LD_LIBRARY_PATH"] = fio.library_path(builds.folder(found, tell))
    folder = folders.run_folder_path()
    placed = [_placed(title, each, disk, folder) for each in wanted]
    if with_counters or explain_every:
        placed = _counted(placed, folder, "--counters" if with_counters else "--explain")
    if explain_every:
        placed = [each.with_engine_option("explain", str(explain_every)) for each in placed]
    counted = dict.fromkeys(file for each in placed for file in each.stats_files())
    said = _said(title, disk, placed, found, arguments.program)
    return Plan(
        title=title,
        folder=folder,
        jobs=tuple(placed),
        disk=_timed(_fitting(disk, placed, said), folder, explain_every),
        fio=found,
        program_options=arguments.program,
        environment=environment,
        as_json=as_json,
        counters=tuple(counted) if with_counters or explain_every else (),
        explains=explain_every > 0,
        changes=changes,
        misread=_misread(said),
    )


def _needs_engine(jobs: Sequence[job.Job], typed: Sequence[str], converting: bool) -> bool:
    """Whether our engine is sure to be needed, as far as can be seen before options are read."""
    if converting or any(each.uses_engine() for each in jobs):
        return True
    if any(engine.NAME in word for word in typed):
        return True
    return not jobs and not any("ioengine" in word for word in typed)


def _jobs(
    job_files: Sequence[Path], read: list[job.Job], arguments: fio_arguments.FioArguments
) -> tuple[str, list[job.Job]]:
    """What the jobs are called, and the jobs of each file."""
    if not job_files and arguments.jobs:
        return "the jobs of the command line", [job.Job(())]
    title = ", ".join(map(str, job_files)) or "jobs/virtio.fio"
    return title, read or [job.read(bundled.default())]


def _option_names(found: fio.Fio, jobs: Sequence[job.Job], typed: Sequence[str]) -> frozenset[str]:
    """The names of job options that may be typed in full, so they do not abbreviate others."""
    if not typed:
        return frozenset()
    used = {line.key for each in jobs for line in each.lines if line.key}
    values = {word.partition("=")[2] for word in typed}
    named = [engine.NAME, *(values & fio.engines(found))]
    theirs = (_options_that_adds(found, name) for name in named)
    return fio.job_options(found).union(used, *theirs)


def _options_that_adds(found: fio.Fio, name: str) -> frozenset[str]:
    """The options that an engine of fio's or ours adds; none if this fio has no engine of ours."""
    if job.is_ours(name):
        return builds.options(found)
    return fio.engine_options(found, None, name)


def _applied(
    arguments: fio_arguments.FioArguments, given: Sequence[job.Job], found: fio.Fio
) -> list[job.Job]:
    """The jobs with the options that were typed. Typed jobs follow those of the last file."""
    if not arguments.everywhere:
        return [*given[:-1], arguments.applied(given[-1])]
    options_of = _options_of(found, [*given, job.Job(()).with_options(arguments.everywhere)])
    of_files = replace(arguments, jobs=())
    others = [of_files.applied(each, options_of) for each in given[:-1]]
    return [*others, arguments.applied(given[-1], options_of)]


def _options_of(found: fio.Fio, jobs: Sequence[job.Job]) -> fio_arguments.OptionsOf:
    """A function that gives the options that an engine adds to fio's own."""

    @cache
    def options_of(name: str) -> Collection[str]:
        ours = _options_that_adds(found, engine.NAME)
        if job.is_ours(name):
            return ours
        if name in fio.engines(found):
            return _options_that_adds(found, name)
        # fio would have to load that engine to list its options. So each option that neither fio
        # nor our engine knows counts as an option of that engine.
        keys = {job.canonical(line.key) for each in jobs for line in each.lines if line.key} - ours
        return frozenset(key for key in keys if not fio.has_option(found, key))

    return options_of


def _converted(
    wanted: Sequence[job.Job], disk: Disk, found: fio.Fio
) -> tuple[list[job.Job], tuple[str, ...]]:
    """The jobs converted to our engine, and a sentence for each change."""
    if disk.spec is None and disk.socket is None:
        raise UsageError(
            "cannot convert a job that runs without changes (--backend none)",
            "--convert puts the job on another disk",
            "leave --convert or --backend none out",
        )
    options_of = _options_of(found, wanted)
    results = [convert.convert(each, options_of, disk.size_bytes()) for each in wanted]
    changes = dict.fromkeys(change for each in results for change in each.changes)
    return [each.job for each in results], tuple(changes)


def _placed(title: str, wanted: job.Job, disk: Disk, folder: Path) -> job.Job:
    """The job on our disk, instead of the disks that it names."""
    socket = str(folder / _SOCKET) if disk.spec else disk.socket
    if socket is None:
        return wanted
    for section in convert.foreign(wanted):
        uses = f"[{section.name}] uses {reach.engine_in_words(section)}"
        what = f"will not run {title} on {disk.describe()}"
        if get_close_matches(section.engine, [job.ENGINE], cutoff=0.8):
            raise UsageError(what, uses, f"did you mean ioengine={job.ENGINE}?")
        raise UsageError(
            what,
            f"{uses}, which works on files",
            "add --convert to run the same load with ioengine=fio_virtio, or --backend none to "
            "run the job without changes",
        )
    return reach.on_disk(wanted, socket)


def _timed(disk: Disk, folder: Path, explain_every: int) -> Disk:
    """The disk; the built-in back-end also takes times."""
    if not explain_every or disk.spec is None or disk.spec.kind != "builtin":
        return disk
    options = (f"explain={explain_every}", f"explain-file={folder / _REQUESTS}")
    return Disk(replace(disk.spec, options=(*disk.spec.options, *options)))


def _counted(wanted: Sequence[job.Job], folder: Path, flag: str) -> list[job.Job]:
    """The jobs with a file for the engine's counters, unless they name one themselves."""
    if not any(each.uses_engine() for each in wanted):
        raise UsageError(
            f"cannot use {flag}", f"no job uses ioengine={job.ENGINE}", f"leave {flag} out"
        )
    file = str(folder / _COUNTERS)
    return [
        each if each.stats_files() else each.with_engine_option("stats_file", file)
        for each in wanted
    ]


def _said(
    title: str,
    disk: Disk,
    wanted: Sequence[job.Job],
    found: fio.Fio,
    program_options: Sequence[str],
) -> list[str]:
    """What fio says about the options of each job. Refuses jobs that fio does not take."""
    if disk.spec is None and disk.socket is None:
        return []  # fio would load the engines of the job, and the user was not asked about them
    said = fio.parsed(found, wanted, program_options, builds.folder(found))
    if not said:
        _refuse(title, wanted, found, program_options)
    return said


def _misread(said: Sequence[str]) -> tuple[readings.Misread, ...]:
    """The numbers of which fio ignores a part."""
    found = (readings.misread(each) for text in said for each in readings.every(text))
    return tuple(dict.fromkeys(filter(None, found)))


def _fitting(disk: Disk, wanted: Sequence[job.Job], said: Sequence[str]) -> Disk:
    """The disk, with the number of queues and the kind of device that the jobs need.

    Refuses a path where there is no socket.
    """
    if disk.socket:
        unix_sockets.check_present(disk.socket)
    if disk.spec is None:
        return disk
    if disk.spec.file:
        writers.check(disk.spec.file, disk.spec.read_only)
    sections = together.read(said)
    # A fio without --debug says nothing.
    queues = together.most_at_once(sections) if sections else max(each.queues() for each in wanted)
    spec = replace(disk.spec, queues=max(1, queues))
    if any("scsi" in each.devices() for each in wanted):
        spec = spec.as_scsi()
    spec.check()
    return Disk(spec)


def _refuse(
    title: str, wanted: Sequence[job.Job], found: fio.Fio, program_options: Sequence[str]
) -> None:
    """Says why fio takes none of these jobs: the first reason of the first that it refuses."""
    environment = {"LD_LIBRARY_PATH": fio.library_path(builds.folder(found))}
    sections = [word for word in program_options if word.startswith("--section=")]
    for each in wanted:
        answer = acceptance.ask(found, each.to_bytes(), environment, sections)
        sections = []  # fio takes them for the first file only
        if answer.refusal:
            raise UsageError(
                f"cannot run {title}", f"fio refuses it: {answer.refusal}", answer.advice()
            )


@dataclass(frozen=True)
class Result:
    outcome: fio.Outcome
    backend_died: str | None  # its last words, if the back-end ended during the run
    counters: Sequence[JobCounters] = ()
    requests: Requests | None = None  # of which times were taken
    switches: CpuUse | None = None  # of the back-end while fio ran, if we started it


def carry_out(
    plan: Plan, tell: Callable[[str], None], show: Callable[[bytes], None] | None = None
) -> Result:
    """Runs the plan to its end. Every process that it starts has ended when it returns. `tell` gets
    what to know before the disk is made, and `show` gets what fio prints (see fio.launch()).
    """
    # While fio runs, launch() passes the signals on to it instead.
    with (
        signals.ending_tidily(_exit_by),
        folders.run_folder(plan.folder),
    ):
        with _backend(plan, tell) as backend:
            for path, each in zip(plan.job_files(), plan.jobs, strict=True):
                files.write(path, each.to_bytes())
            before = _cpu_use(backend)
            outcome = fio.launch(plan.fio_command(), plan.environment, show)
            died = backend is not None and backend.has_died()
            words = backend.last_words() if backend and died else None
            used = sampling.between(before, _cpu_use(backend))
        # If fio refuses the options of a job, it says why and there is no file.
        counted = [path for path in map(Path, plan.counters) if path.exists()]
        found = _requests(plan, counted) if plan.explains and counted else None
        return Result(outcome, words, counters.read(counted), found, used)


def _cpu_use(backend: backends.Backend | None) -> CpuUse | None:
    return None if backend is None else sampling.cpu_use(backend.process.pid)


def _requests(plan: Plan, counted: Sequence[Path]) -> Requests:
    """The times that both sides took. The back-end has written its own when it has ended."""
    theirs = plan.folder / _REQUESTS
    return requests.read(
        "\n".join(map(files.read_text, counted)),
        files.read_text(theirs) if theirs.exists() else None,
    )


@contextmanager
def _backend(plan: Plan, tell: Callable[[str], None]) -> Iterator[backends.Backend | None]:
    if plan.disk.spec is None:
        yield None
        return
    log = plan.folder / "backend.log"
    backend = backends.start(plan.disk.spec, plan.socket, str(log), tell=tell)
    try:
        yield backend
    finally:
        backend.stop()


def _exit_by(number: int) -> SystemExit:
    """Exits with the status that a shell gives to a process that a signal ended."""
    return SystemExit(128 + number)
