# SPDX-License-Identifier: GPL-2.0-or-later
"""The record of one run of a sweep: its columns, and their versions.

Owns which facts of a run are kept, and how a record becomes one flat object and is read again, for
this version and every older version of the columns. Pure; any thread may call it. It does not touch
files, because results/results.py does, and it does not judge the numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

from pyfio_virtio import efficiency
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio.directions import CLAT, DIRECTIONS, LAT, Summary
from pyfio_virtio.machine.cpu_use import CpuUse

Scalar = str | int | float | bool | None
_SCALAR = "str | int | float | bool | None"
_HASH = re.compile("[0-9a-f]{12}")
# The name of a host, which is also the name of a folder.
HOST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_LONGEST_NUMBER = 18  # of which every number fits into 64 bits


def typed(text: str) -> Scalar:
    """A number that is shown as it was written. Other text (4k, 0x10, 1e3, randread) is kept."""
    for kind in (int, float):
        if _PLAIN_NUMBER.fullmatch(text) and len(text) < _LONGEST_NUMBER:
            try:
                number = kind(text)
            except ValueError:
                continue
            if str(number) == text:
                return number
    return text


Row = dict[str, Any]
Migration = Callable[[Row], Row]
Part = TypeVar("Part")

SCHEMA = 5


def _with_wall_s(row: Row) -> Row:
    """In version 1, the time from fio's start to its end was not measured."""
    return {**row, "wall_s": None}


def _with_kinds_of_latency(row: Row) -> Row:
    """In version 2, means were of lat, and percentiles of clat unless lat_percentiles=1 was set."""
    percentiles = LAT if str(row.get("lat_percentiles", "0")) not in ("0", "None") else CLAT
    added: Row = {}
    for prefix in ("", *(f"{each}_" for each in DIRECTIONS if f"{each}_ios" in row)):
        for name, kind, column in (
            ("mean_of", LAT, "lat_mean_ns"),
            ("percentiles_of", percentiles, "p50_ns"),
        ):
            added[prefix + name] = kind if row.get(prefix + column) is not None else None
    return {**row, **added}


# Engines whose disk is served by another process. Others do all the work in fio itself.
_SERVED = ("fio_virtio", "nbd")
_PROCESSES = ("fio", "backend")


def _with_efficiency(row: Row) -> Row:
    """Version 3 had no IOPS per core, which follow from other columns."""
    fio_s, backend_s = (_sum(row, f"{each}_user_s", f"{each}_system_s") for each in _PROCESSES)
    has_backend = row.get("engine") in _SERVED
    return {**row, **efficiency.of_sides(_sum(row, "ios"), fio_s, backend_s, has_backend)}


def _sum(row: Row, *names: str) -> float | None:
    """The sum of columns; None if one of them is not a number."""
    found = [row.get(name) for name in names]
    known = [each for each in found if isinstance(each, (int, float))]
    return sum(known) if len(known) == len(found) else None


def _unchanged(row: Row) -> Row:
    """Version 4 knew no runs on several hosts; those of version 5 have columns in addition."""
    return row


# By version: a function that turns a row of that version into a row of the next version.
MIGRATIONS: Mapping[int, Migration] = MappingProxyType(
    {1: _with_wall_s, 2: _with_kinds_of_latency, 3: _with_efficiency, 4: _unchanged}
)

# The purpose of a run: a point that the user asked for, fio's null engine (the upper limit), or the
# twin of a point, which is the same again and shows the noise.
MEASURED, NULL, TWIN = "measured", "null", "twin"

# Columns with the names of what a sweep compared: back-ends, builds of the engine, programs fio.
BACKEND_NAME, ENGINE_BUILD, FIO_PROGRAM = "backend_name", "engine_build", "fio_program"


class RecordError(PyfioVirtioError):
    """A record does not have the columns of its version."""


@dataclass(frozen=True)
class OnHost:
    """The host of a record that is one host's part of a run on several hosts."""

    name: str  # as the file of hosts has it
    start_ms: float  # when its job began to do I/O, after that of the first host
    clock_offset_ms: float  # what its clock showed more than ours
    clock_error_ms: float  # how wrong that may be: half of the shortest round trip


@dataclass(frozen=True)
class Across:
    """A run on several hosts as a whole. Its other columns are of all its hosts together."""

    window_s: float  # the time during which all hosts did I/O
    start_skew_ms: float  # from the start of the first host to that of the last
    slowest: str | None  # the host with the fewest I/Os a second
    fairness: float | None  # its IOPS divided by the median of all hosts
    failed: str  # the names of the hosts without a result, with commas; "" if there is none
    notes: str  # what to know about these numbers; sentences with "; " between them


# From here on, these are worth a sentence: a host's share of the median host's IOPS, the share of
# the time that not all hosts share, and the difference of a clock.
STRAGGLER, LONG_SKEW, LARGE_OFFSET_MS = 0.8, 0.05, 1000.0
# So is a load average of each CPU that the runs themselves do not explain.
BUSY_LOAD = 0.25
# The column with the number of hosts, which a sweep with --host-count varies.
HOSTS = "hosts"


@dataclass(frozen=True)
class Point:
    """Identifies the runs that are repeats of each other. Its hash is the name of their folder.

    The job text has a placeholder instead of the socket's path, because paths differ from sweep to
    sweep.
    """

    job: str  # the text of the job file
    engine: str  # the name of the ioengine
    engine_version: str  # of our engine; "" for others
    fio_version: str  # as fio tells it
    backend: str  # what served the disk, and how
    backend_version: str  # of the program that served the disk
    role: str = MEASURED  # measured, null (fio's null engine) or twin (a point that is run again)

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits, which are equal for equal points on any machine."""
        parts = [getattr(self, each.name) for each in fields(self)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Record:
    """One run: its options, results, costs and environment.

    The names in options, counters and host are not fixed; they are those of fio and the engine.
    The engine's counters include the ramp, so they belong to its own number of I/Os, "reaped".
    """

    point: Point
    repeat: int  # counts the runs of a point
    order: int  # its place in the sequence of runs
    started: str  # ISO 8601, UTC
    elapsed_s: float  # the time that fio measured, without the ramp; CPU times cover the same time
    fio_command: str  # with all arguments
    backend_command: str  # with all arguments; "" if nothing was started
    options: Mapping[str, Scalar]
    total: Summary = field(default_factory=Summary)
    directions: Mapping[str, Summary] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)
    fio_cpu: CpuUse | None = None
    backend_cpu: CpuUse | None = None
    on_host: OnHost | None = None  # set in the record of one host
    across: Across | None = None  # set in the record of all hosts together
    host: Mapping[str, Scalar] = field(default_factory=dict)
    wall_s: float | None = None  # from fio's start to its end; None if it was not measured
    error: str | None = None  # why the run failed, as one sentence
    schema: int = SCHEMA  # the version of the columns

    @property
    def iops_per_core(self) -> dict[str, float | None]:
        """IOPS per core of both sides and of each of them, by their columns."""
        row = to_row(self)
        return {name: row[name] for name in efficiency.SIDES}


_SINGLE = (
    "schema",
    "repeat",
    "order",
    "started",
    "elapsed_s",
    "wall_s",
    "fio_command",
    "backend_command",
    "error",
)


def to_row(record: Record) -> Row:
    """The record as one flat object for JSON and for a table. Each name occurs once."""
    row: Row = {}
    for group in _groups(record):
        for name, value in group.items():
            if name in row:
                raise RecordError(f"two columns of a record are called {name}")
            row[name] = value
    return _with_efficiency(row)


def _groups(record: Record) -> Iterator[Mapping[str, Any]]:
    yield {name: getattr(record, name) for name in _SINGLE}
    yield {"hash": record.point.hash, **_columns(record.point)}
    yield {"option_names": list(record.options), "counter_names": list(record.counters)}
    yield record.options
    yield _columns(record.total)
    for name, summary in record.directions.items():
        yield _columns(summary, f"{name}_")
    yield record.counters
    yield _columns(record.fio_cpu, "fio_")
    yield _columns(record.backend_cpu, "backend_")
    yield _columns(record.on_host, "on_")
    yield _columns(record.across, "across_")
    yield {f"host_{name}": value for name, value in record.host.items()}


def _columns(part: Point | Summary | CpuUse | OnHost | Across | None, prefix: str = "") -> Row:
    return {} if part is None else {prefix + f.name: getattr(part, f.name) for f in fields(part)}


def from_row(row: Row) -> Record:
    """Makes a record from a row of this version or an older one."""
    row = checked(row)
    return Record(
        **{name: row[name] for name in _SINGLE},
        point=_required(Point, row),
        options={name: row[name] for name in row["option_names"]},
        counters={name: row[name] for name in row["counter_names"]},
        total=_required(Summary, row),
        directions={d: _required(Summary, row, f"{d}_") for d in _directions(row)},
        fio_cpu=_optional(CpuUse, row, "fio_"),
        backend_cpu=_optional(CpuUse, row, "backend_"),
        on_host=_optional(OnHost, row, "on_"),
        across=_optional(Across, row, "across_"),
        host={name[5:]: row[name] for name in row if name.startswith("host_")},
    )


def _directions(row: Row) -> list[str]:
    return [name for name in DIRECTIONS if f"{name}_ios" in row]


def _required(kind: type[Part], row: Row, prefix: str = "") -> Part:
    return kind(**{each.name: row[prefix + each.name] for each in fields(kind)})  # type: ignore[arg-type]


def _optional(kind: type[Part], row: Row, prefix: str) -> Part | None:
    first = fields(kind)[0].name  # type: ignore[arg-type]
    return _required(kind, row, prefix) if prefix + first in row else None


def upgrade(row: Row, to: int = SCHEMA, steps: Mapping[int, Migration] = MIGRATIONS) -> Row:
    """Brings a row of an older version up to version `to`, one version at a time."""
    version = row.get("schema")
    if not isinstance(version, int) or version < 1:
        raise RecordError("a record has no schema version")
    if version > to:
        raise RecordError(
            f"a record has schema version {version}",
            f"this pyfio-virtio knows versions up to {to}",
            "read it with the release that wrote it, or a newer one",
        )
    while version < to:
        version += 1
        row = {**steps[version - 1](row), "schema": version}
    return row


# ---- rows that somebody else may have written ------------------------------------------


def checked(row: Row) -> Row:
    """The row with the columns of this version. Refuses one that lacks some, or has other types."""
    row = upgrade(row)
    for name, kinds in _expected(row):
        if name not in row:
            raise RecordError(f"a record of version {SCHEMA} lacks {name!r}")
        if not _is_one_of(row[name], kinds):
            raise RecordError(f"a record has {row[name]!r:.60} as {name!r}")
    if not _HASH.fullmatch(row["hash"]):
        raise RecordError(f"a record has {row['hash']!r:.60} as 'hash'")
    if "on_name" in row and not HOST_NAME.fullmatch(row["on_name"]):
        raise RecordError(f"a record has {row['on_name']!r:.60} as 'on_name'")
    return row


def _expected(row: Row) -> Iterator[tuple[str, str]]:
    """The columns that a row must have, with their types."""
    yield from ((each.name, str(each.type)) for each in fields(Record) if each.name in _SINGLE)
    yield "hash", "str"
    yield from _types(Point)
    yield from ((name, "float | None") for name in efficiency.SIDES)
    for prefix in ("", *(f"{name}_" for name in _directions(row))):
        yield from _types(Summary, prefix)
    for prefix in ("fio_", "backend_"):
        if f"{prefix}user_s" in row:
            yield from _types(CpuUse, prefix)
    for part, prefix in ((OnHost, "on_"), (Across, "across_")):
        if any(name in row for name, _ in _types(part, prefix)):
            yield from _types(part, prefix)
    for names, kinds in (("option_names", _SCALAR), ("counter_names", "float")):
        yield names, "list"
        yield from ((name, kinds) for name in row[names])
    yield from ((name, _SCALAR) for name in row if name.startswith("host_"))


def _types(part: type[Part], prefix: str = "") -> Iterator[tuple[str, str]]:
    return ((prefix + each.name, str(each.type)) for each in fields(part))  # type: ignore[arg-type]


def _is_one_of(value: object, kinds: str) -> bool:
    """Whether the value has one of the types of an annotation, and a table can hold it."""
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return False
    if isinstance(value, list):
        return kinds == "list" and all(isinstance(name, str) for name in value)
    # JSON has one type for whole numbers and others.
    names = {type(value).__name__.replace("NoneType", "None")}
    return bool((names | ({"float"} if names == {"int"} else set())) & set(kinds.split(" | ")))
