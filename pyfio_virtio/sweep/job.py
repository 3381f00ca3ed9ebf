# SPDX-License-Identifier: GPL-2.0-or-later
"""The job file of a choice, the disk that it needs, and its columns in a record.

Owns the job text, which decides whether two points are the same. Pure; any thread may call. Paths
that differ from run to run are not in the text: fio replaces ${DISK} from its environment, and the
engine's counters go to the folder in which fio runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine.engine import NAME
from pyfio_virtio.errors import UsageError
from pyfio_virtio.fio.job import option
from pyfio_virtio.hosts.logs import LOG_OPTIONS
from pyfio_virtio.results.record import (
    BACKEND_NAME,
    ENGINE_BUILD,
    FIO_PROGRAM,
    HOSTS,
    Scalar,
    typed,
)
from pyfio_virtio.results.results import COUNTERS
from pyfio_virtio.sizes import format_seconds, format_size, parse_size
from pyfio_virtio.sweep.plan import NULL_ENGINE, Choice
from pyfio_virtio.sweep.settings import VIRTIO, Settings

DISK_VARIABLE = "DISK"
SCRATCH = "file"  # storage: a file that is made for the sweep
# The path is a placeholder, until at() puts the real path in its place.
_SCRATCH_STORAGE = f"file:{SCRATCH}"
NBD = "nbd"
# The null engine needs a size, although it has no disk.
_NULL_SIZE = "1g"
# The time between two columns of the heat map.
_HEAT_MAP_MS = 100
_MIXED = ("rw", "readwrite", "randrw")


@dataclass(frozen=True)
class Placement:
    """The CPUs of fio's jobs and of the back-end, as taskset reads them; None: any CPU."""

    fio: str | None = None
    backend: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What a point needs before fio starts: a back-end, a served socket, a file, or nothing."""

    spec: BackendSpec | None = None
    socket: str | None = None
    file: str | None = None
    size_bytes: int = 0  # of a file that must be made
    name: str = ""  # of the back-end, if there are several

    def describe(self) -> str:
        """Describes the back-end in a record. Its name tells it from an equal one."""
        return f"{self.name}: {self._disk()}" if self.name else self._disk()

    def _disk(self) -> str:
        """The disk, without temporary paths, because they differ."""
        scratch = f"scratch file, {format_size(self.size_bytes)}"
        if self.spec is None:
            file = scratch if self.file == SCRATCH else f"file {self.file}"
            return self.socket or (file if self.file else "none")
        shown = f"{self.spec.describe()}{self.spec.details()}"
        return shown.replace(_SCRATCH_STORAGE, scratch)


def placement(cpus: str, cores: list[list[int]]) -> Placement:
    """The CPUs for the value `cpus` of a choice. Each core is the list of its CPUs.

    separate: half of the cores for fio, the others for the back-end. shared: one CPU for both.
    Others are FIO:BACKEND, where one of the two may be missing, or BACKEND.
    """
    if cpus == "any":
        return Placement()
    last = cores[-1][-1]
    if cpus == "shared":
        return Placement(str(last), str(last))
    if cpus == "separate":
        halves = cores if len(cores) > 1 else [[each] for each in cores[0]]
        if len(halves) < 2:
            raise UsageError(
                "cannot put fio and the back-end on separate CPUs", "there is only one"
            )
        middle = len(halves) // 2
        return Placement(_list(halves[:middle]), _list(halves[middle:]))
    fio, _, backend = cpus.rpartition(":")
    if not re.fullmatch(r"[0-9,-]*", fio + backend) or not (fio or backend):
        raise UsageError(
            f"unknown cpus {cpus!r}", "", "use any, separate, shared or FIO:BACKEND, such as 0:1"
        )
    return Placement(fio or None, backend or None)


def _list(cores: list[list[int]]) -> str:
    return ",".join(str(cpu) for core in cores for cpu in core)


def wanted(choice: Choice, settings: Settings, where: Placement) -> Wanted:
    """The disk that the choice needs."""
    if choice.engine == NULL_ENGINE:
        return Wanted()
    if choice.engine == VIRTIO and choice.backend.socket:
        path = str(Path(choice.backend.socket).absolute())
        return Wanted(socket=path, name=choice.backend.name)
    if choice.engine in (VIRTIO, NBD):
        size_bytes = parse_size(settings.disk_size)
        spec = _spec(choice, settings, where)
        return Wanted(spec, size_bytes=size_bytes, name=choice.backend.name)
    if settings.storage in ("null", "memory"):
        raise UsageError(
            f"{choice.engine} needs a file, and storage is {settings.storage}",
            "",
            "use --storage file or --storage file:PATH",
        )
    kind, _, path = settings.storage.partition(":")
    return Wanted(file=path or kind, size_bytes=parse_size(settings.disk_size))


def _spec(choice: Choice, settings: Settings, where: Placement) -> BackendSpec:
    serve = (f"serve={choice.serve}",) if choice.serve else ()
    own = (*serve, *choice.backend.options) if choice.engine == VIRTIO else ()
    spec = BackendSpec(
        kind=NBD if choice.engine == NBD else choice.backend.kind,
        storage=_SCRATCH_STORAGE if settings.storage == SCRATCH else settings.storage,
        size_bytes=parse_size(settings.disk_size),
        block_size=parse_size(settings.block_size),
        queues=choice.number("numjobs"),
        read_only=settings.read_only,
        poll_max_ns=settings.poll_max_ns if choice.backend.kind == "qsd" else None,
        cpus=where.backend,
        options=own,
    )
    if choice.engine == VIRTIO and choice.get("device") == "scsi":
        spec = spec.as_scsi()
    spec.check()
    return spec


def at(wanted: Wanted, scratch: Path) -> Wanted:
    """The same with the real path of the scratch file."""
    if wanted.spec and wanted.spec.storage == _SCRATCH_STORAGE:
        return replace(wanted, spec=replace(wanted.spec, storage=f"file:{scratch}"))
    return replace(wanted, file=str(scratch)) if wanted.file == SCRATCH else wanted


def job_text(
    choice: Choice,
    settings: Settings,
    where: Placement,
    rate_iops: int | None,
    clock: str | None = None,
) -> str:
    """`clock` is fio's clocksource; with None fio chooses one, partly by chance."""
    return "\n".join(_lines(choice, settings, where, rate_iops, clock)) + "\n"


def _lines(
    choice: Choice, settings: Settings, where: Placement, rate_iops: int | None, clock: str | None
) -> Iterator[str]:
    yield "[global]"
    yield from _engine(choice)
    # With threads, the jobs end when fio is killed.
    yield "thread=1"
    yield "time_based"
    # Percentiles of clat would hide the cost of the submission, which differs between engines.
    yield "lat_percentiles=1"
    yield f"runtime={format_seconds(settings.runtime)}"
    if settings.ramp_time:
        yield f"ramp_time={format_seconds(settings.ramp_time)}"
    if clock:
        yield f"clocksource={clock}"
    if where.fio:
        yield option("cpus_allowed", where.fio).text
    if settings.heat_map:
        yield from ("write_hist_log=fio", f"log_hist_msec={_HEAT_MAP_MS}")
    if choice.hosts:
        yield from (f"{name}={value}" for name, value in LOG_OPTIONS.items())
    yield ""
    yield "[sweep]"
    yield from (f"{name}={value}" for name, value in choice.options)
    if rate_iops:
        yield f"rate_iops={_rate(choice, rate_iops)}"


def _engine(choice: Choice) -> Iterator[str]:
    disk = f"${{{DISK_VARIABLE}}}"
    if choice.engine == VIRTIO:
        yield from (f"ioengine={NAME}", f"filename={disk}", f"stats_file={COUNTERS}")
    elif choice.engine == NULL_ENGINE:
        yield from ("ioengine=null", f"size={_NULL_SIZE}")
    else:
        yield option("ioengine", choice.engine).text
        yield f"uri={disk}" if choice.engine == NBD else f"filename={disk}"
    if choice.get("read_iolog") and choice.engine != NULL_ENGINE:
        yield f"replay_redirect={disk}"  # instead of the disks that the log names


def _rate(choice: Choice, rate_iops: int) -> str:
    """The value of rate_iops=, which fio applies to each job and each direction."""
    each = max(1, round(rate_iops / choice.number("numjobs")))
    if choice.get("rw").partition(":")[0] not in _MIXED:
        return str(each)
    reads = round(each * int(choice.get("rwmixread", "50")) / 100)
    return f"{max(1, reads)},{max(1, each - reads)}"


def columns(choice: Choice, settings: Settings, rate_iops: int | None) -> dict[str, Scalar]:
    """The choice as columns of a record, with the names of fio and of the sweep."""
    values: dict[str, Scalar] = {name: typed(value) for name, value in choice.options}
    values |= {"runtime": settings.runtime, "ramp_time": settings.ramp_time}
    if choice.cpus != "any":
        values["cpus"] = choice.cpus
    if choice.serve:
        values["serve"] = choice.serve
    fio, build = choice.programs
    named = ((BACKEND_NAME, choice.backend.name), (ENGINE_BUILD, build), (FIO_PROGRAM, fio))
    values |= {name: value for name, value in named if value}
    if choice.hosts:
        values[HOSTS] = choice.hosts
    if rate_iops:
        values["rate_iops"] = max(1, round(rate_iops / choice.number("numjobs")))
    return values


def engine_name(choice: Choice) -> str:
    """The engine's name in a record."""
    return NAME if choice.engine == VIRTIO else choice.engine
