# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep as resolved on this machine: its points with their jobs, hashes and commands.

Owns what a sweep will do, with every command line, before it does anything. Asks fio and the
back-ends for their versions, but starts no job and no back-end. Called from the main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio import reach
from pyfio_virtio.backends import command_lines
from pyfio_virtio.errors import MachineError, UsageError
from pyfio_virtio.fio import fio as fios
from pyfio_virtio.fio.fio import Fio
from pyfio_virtio.fio.job import escaped_filename, parse
from pyfio_virtio.hosts import hosts_file
from pyfio_virtio.machine import folders, host
from pyfio_virtio.reach import Reach
from pyfio_virtio.results.record import Point
from pyfio_virtio.results.results import FIO_JSON, JOB
from pyfio_virtio.sweep import programs
from pyfio_virtio.sweep.candidates import BUILTIN
from pyfio_virtio.sweep.job import (
    DISK_VARIABLE,
    NBD,
    SCRATCH,
    Wanted,
    at,
    engine_name,
    job_text,
    placement,
    wanted,
)
from pyfio_virtio.sweep.measure import ETA_MS
from pyfio_virtio.sweep.option_checks import Checker
from pyfio_virtio.sweep.plan import NULL_ENGINE, Choice, choices, with_rates
from pyfio_virtio.sweep.programs import Programs, key, named
from pyfio_virtio.sweep.servers import DISK, SOCKET, Served
from pyfio_virtio.sweep.settings import VIRTIO, Settings
from pyfio_virtio.sweep.versions import ENGINE, FIO, of_backends

# The time to start and end a back-end and fio in each run, as seen on an idle machine.
OVERHEAD_S = 0.7


@dataclass(frozen=True)
class Planned:
    """A point, and everything that is needed to run it."""

    choice: Choice
    point: Point
    wanted: Wanted
    rate_iops: int | None = None


@dataclass(frozen=True)
class Sweep:
    """Settings, and facts about the machine on which they were resolved."""

    settings: Settings
    programs: Programs
    versions: Mapping[str, str]
    engine_options: frozenset[str]
    cores: list[list[int]]
    clock: str | None  # fio's clocksource; None: fio chooses
    hosts: tuple[str, ...] = ()  # the names of those in the file; (): all runs are on this machine

    def points(self) -> list[Planned]:
        """All points without a rate limit, with the controls."""
        asked = choices(self.settings, self.engine_options, self.programs.axis())
        return [self.planned(choice, None) for choice in asked]

    def rated_points(self, maximum: Mapping[str, float]) -> list[Planned]:
        """The points with a rate limit. `maximum` has the IOPS that points reach, by their hash."""
        found = []
        for planned in self.points():
            most = maximum.get(planned.point.hash)
            for choice in with_rates([planned.choice], self.settings.rate_steps) if most else ():
                share = (choice.rate_percent or 0) / 100
                found.append(self.planned(choice, max(1, round(share * (most or 0)))))
        return found

    def planned(self, choice: Choice, rate_iops: int | None) -> Planned:
        where = placement(choice.cpus, self.cores)
        needed = wanted(choice, self.settings, where)
        names = self.hosts[: choice.hosts]
        kind = needed.spec.kind if needed.spec else ""
        point = Point(
            job=job_text(choice, self.settings, where, rate_iops, self.clock),
            engine=engine_name(choice),
            engine_version=self._engine_version(choice) if choice.engine == VIRTIO else "",
            fio_version=named(choice.programs[0], self.versions[key(FIO, choice.programs[0])]),
            backend=needed.describe() + (f", on {', '.join(names)}" if names else ""),
            backend_version=self.versions.get(kind, ""),
            role=choice.role,
        )
        return Planned(choice, point, needed, rate_iops)

    def _engine_version(self, choice: Choice) -> str:
        build = self.programs.build(choice.programs)
        return named(choice.programs[1], self.versions[key(ENGINE, build)])

    def command(self, choice: Choice) -> list[str]:
        """fio's command line, which is the same in the folder of each run of the choice."""
        eta = ("--eta=always", f"--eta-interval={ETA_MS}ms")
        path = self.programs.fios[choice.programs[0]].path
        return [path, "--output-format=json+", f"--output={FIO_JSON}", *eta, JOB]

    def run_seconds(self) -> float:
        """The approximate time that one run takes."""
        return self.settings.runtime + self.settings.ramp_time + OVERHEAD_S

    def runs(self) -> int:
        """The number of runs, without the rounds that target_ci may add."""
        points = self.points()
        rated = with_rates([each.choice for each in points], self.settings.rate_steps)
        return self.settings.repeats * (len(points) + len(rated))


def resolve(settings: Settings, tell: Callable[[str], None] | None = None) -> Sweep:
    """Finds fio, the engine and the back-ends. The error says which of them is missing.

    With `tell`, an engine that is missing is built.
    """
    settings.check()
    if settings.storage == "auto" and not settings.describes_no_disk:
        settings = replace(settings, storage=SCRATCH if _needs_file(settings) else "null")
    found = programs.find(settings.fio, settings.engine_build, VIRTIO in settings.engines, tell)
    for fio in found.fios.values():
        _check_engines(fio, settings)
    settings = _with_numbers_of_jobs(settings, next(iter(found.fios.values())))
    kinds = [*settings.kinds, *([NBD] if NBD in settings.engines else [])]
    # The hosts have their own programs; the built-in back-end is of our release.
    here = [each for each in kinds if each == BUILTIN] if settings.hosts else kinds
    known = found.versions() | of_backends(here)
    hosts = hosts_file.read(Path(settings.hosts)) if settings.hosts else ()
    names = tuple(each.name for each in hosts)
    settings = _with_host_counts(settings, names)
    clock = None if names else host.fio_clock()
    return Sweep(settings, found, known, found.engine_options(), host.cores(), clock, names)


def _with_host_counts(settings: Settings, names: Sequence[str]) -> Settings:
    """The settings with the numbers of hosts; all of the file's if none were asked for."""
    if not names:
        return settings
    for count in settings.host_count:
        if count > len(names):
            raise UsageError(
                f"cannot measure with {count} hosts", f"{settings.hosts} has {len(names)}"
            )
    return replace(settings, host_count=settings.host_count or (len(names),))


def _with_numbers_of_jobs(settings: Settings, found: Fio) -> Settings:
    """The settings with each numjobs as a plain number, as fio reads it ($ncpus, 0x10)."""
    given = settings.options.get("numjobs", ())
    checker = Checker(found, {})
    values = tuple(v if v.isdecimal() else checker.number_of_jobs(v) for v in given)
    return replace(settings, options={**settings.options, "numjobs": values}) if given else settings


def _needs_file(settings: Settings) -> bool:
    """Whether an engine works on a file instead of a back-end."""
    return any(each not in (VIRTIO, NBD, NULL_ENGINE) for each in settings.engines)


def _check_engines(found: Fio, settings: Settings) -> None:
    known = fios.engines(found)
    for name in settings.engines:
        if name != VIRTIO and name not in known:
            raise MachineError(
                f"{found.path} has no engine {name}", "", f"it has {', '.join(sorted(known))}"
            )


def reached(points: Sequence[Planned], with_backends: bool) -> Reach:
    """What the runs of these points may change that is not made for them, and which commands they
    would run. `with_backends` includes the effects of the back-ends' options."""
    every = [_reached(planned) for planned in points]
    if with_backends:
        specs = (planned.wanted.spec for planned in points)
        every += [reach.of_backend(spec) for spec in specs if spec]
    return reach.joined(every)


def _reached(planned: Planned) -> Reach:
    """fio runs in a new folder. ${DISK} is a served socket, a file, or lies in our own folder."""
    folder = folders.run_folder_path()
    needed = at(planned.wanted, folder / DISK)
    disk = needed.socket or needed.file or str(folder / SOCKET)
    text = planned.point.job.replace(f"${{{DISK_VARIABLE}}}", escaped_filename(disk))
    found = reach.of_job(parse(text), None)
    if needed.socket:
        return found
    used = needed.spec.file if needed.spec else Path(disk)
    return found.behind(disk, used)


def script(sweep: Sweep) -> Iterator[str]:
    """Everything that the sweep would do, for --dry-run."""
    folder = folders.run_folder_path()
    for planned in sweep.points():
        yield f"# point {planned.point.hash}: {planned.choice.label}"
        yield f"# {JOB}"
        yield planned.point.job.rstrip()
        yield from _commands(sweep, planned, folder)
        yield ""


def _commands(sweep: Sweep, planned: Planned, folder: Path) -> Iterator[str]:
    needed = at(planned.wanted, folder / DISK)
    disk = needed.socket or needed.file or ""
    if needed.spec:
        disk = str(folder / SOCKET)
        yield "# back-end"
        yield command_lines.dry_command(needed.spec, disk)
    yield "# fio"
    build = sweep.programs.folder(planned.choice.programs)
    yield Served(disk).shell_line(sweep.command(planned.choice), build)
