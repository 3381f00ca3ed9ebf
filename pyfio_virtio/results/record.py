# SPDX-License-Identifier: GPL-2.0-or-later
"""The record of one run of a sweep: its columns, and their versions.

Owns what is remembered of a run and how that becomes one flat object and back, for this
and every older version of the columns. Pure; any thread may call it. It never touches a
file (results/results.py does) and never judges a number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.fio.output import DIRECTIONS, Summary

Scalar = str | int | float | bool | None


def typed(text: str) -> Scalar:
    """A number as a number, so that a table sorts it; all else (4k, randread) as it stands."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


Row = dict[str, Any]
Migration = Callable[[Row], Row]
Part = TypeVar("Part")

SCHEMA = 2


def _with_wall_s(row: Row) -> Row:
    """Version 1 did not measure how long fio took from its start to its end."""
    return {**row, "wall_s": None}


# From a version to the next: takes a row of that version, returns one of the next.
MIGRATIONS: Mapping[int, Migration] = MappingProxyType({1: _with_wall_s})

# What a run was for: a point that was asked for, fio's null engine (the ceiling), or the
# twin of a point, whose difference from it is the noise floor.
MEASURED, NULL, TWIN = "measured", "null", "twin"


class RecordError(PyfioVirtioError):
    """A record does not hold what its version should."""


@dataclass(frozen=True)
class CpuUse:
    """CPU time and context switches of a process's threads during a run."""

    user_s: float
    system_s: float
    voluntary_switches: int
    involuntary_switches: int


@dataclass(frozen=True)
class Point:
    """What makes runs repeats of one another; its hash names their folder.

    The job text has a placeholder where the socket's path goes, as paths differ from
    sweep to sweep.
    """

    job: str
    engine: str
    engine_version: str
    fio_version: str
    backend: str
    backend_version: str
    role: str = MEASURED

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits, equal for equal points on any machine."""
        parts = [getattr(self, each.name) for each in fields(self)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Record:
    """One run: what was asked, what came of it, at what cost, and where.

    Options, counters and host are open sets, in fio's and the engine's own names. The
    engine counts the ramp too: its counters go with its own number of I/Os, "reaped".
    """

    point: Point
    repeat: int
    order: int  # place in the sweep's sequence of runs
    started: str  # ISO 8601, UTC
    elapsed_s: float  # fio's measured part, ramp left out; the CPU times cover the same
    fio_command: str
    backend_command: str
    options: Mapping[str, Scalar]
    total: Summary = field(default_factory=Summary)
    directions: Mapping[str, Summary] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)
    fio_cpu: CpuUse | None = None
    backend_cpu: CpuUse | None = None
    host: Mapping[str, Scalar] = field(default_factory=dict)
    wall_s: float | None = None  # from fio's start to its end; None: it was not measured
    error: str | None = None
    schema: int = SCHEMA


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
    """The record as one flat object, each name once, for JSON and for a table."""
    row: Row = {}
    for group in _groups(record):
        for name, value in group.items():
            if name in row:
                raise RecordError(f"two columns of a record are called {name}")
            row[name] = value
    return row


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
    yield {f"host_{name}": value for name, value in record.host.items()}


def _columns(part: Point | Summary | CpuUse | None, prefix: str = "") -> Row:
    return {} if part is None else {prefix + f.name: getattr(part, f.name) for f in fields(part)}


def from_row(row: Row) -> Record:
    """A record again, from a row of any version up to ours."""
    row = upgrade(row)
    try:
        return Record(
            **{name: row[name] for name in _SINGLE},
            point=_required(Point, row),
            options={name: row[name] for name in row["option_names"]},
            counters={name: row[name] for name in row["counter_names"]},
            total=_required(Summary, row),
            directions={
                d: _required(Summary, row, f"{d}_") for d in DIRECTIONS if f"{d}_ios" in row
            },
            fio_cpu=_optional(CpuUse, row, "fio_"),
            backend_cpu=_optional(CpuUse, row, "backend_"),
            host={name[5:]: row[name] for name in row if name.startswith("host_")},
        )
    except KeyError as missing:
        raise RecordError(f"a record of version {SCHEMA} lacks {missing}") from missing


def _required(kind: type[Part], row: Row, prefix: str = "") -> Part:
    return kind(**{each.name: row[prefix + each.name] for each in fields(kind)})  # type: ignore[arg-type]


def _optional(kind: type[Part], row: Row, prefix: str) -> Part | None:
    first = fields(kind)[0].name  # type: ignore[arg-type]
    return _required(kind, row, prefix) if prefix + first in row else None


def upgrade(row: Row, to: int = SCHEMA, steps: Mapping[int, Migration] = MIGRATIONS) -> Row:
    """A row of an older version brought up, one version at a time."""
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
