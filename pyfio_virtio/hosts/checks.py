# SPDX-License-Identifier: GPL-2.0-or-later
"""What is looked at before a job starts on any host: the same programs, and room for the disk.

Owns the comparison of a host with this machine. Pure: the link asks, this judges.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.host_errors import HostError, printable
from pyfio_virtio.hosts.hosts_file import Host
from pyfio_virtio.hosts.link import Clock
from pyfio_virtio.hosts.wire import Message, WireError
from pyfio_virtio.results.record import LARGE_OFFSET_MS, Scalar
from pyfio_virtio.sizes import format_size

_LARGEST = 1 << 62
_LONGEST = 4096
_MOST_FACTS = 100
_LONGEST_FACT = 200
_FACT = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Versions:
    """What must be the same on all hosts."""

    fio: str  # "fio-3.33"
    engine: str


@dataclass(frozen=True)
class Known:
    """What a host said when it was greeted."""

    versions: Versions
    problem: str  # why fio does not load the engine there; "": it does
    memory_bytes: int  # that are free
    facts: Mapping[str, Scalar] = field(default_factory=dict)  # the columns host_... of a record


def hello() -> Message:
    return Message("hello", {"version": wire.VERSION})


def read(answer: Message) -> Known:
    """Reads an answer to hello. Raises WireError if a field is wrong."""
    version = answer.number("version", 0, _LARGEST)
    if version != wire.VERSION:
        raise WireError(
            f"it speaks version {version} of the protocol",
            f"this is version {wire.VERSION}",
            "install the same pyfio-virtio on both",
        )
    return Known(
        versions=Versions(answer.text("fio", _LONGEST), answer.text("engine", _LONGEST)),
        problem=printable(answer.text("problem", _LONGEST)),
        memory_bytes=answer.number("memory", 0, _LARGEST),
        facts=_facts(answer.fields.get("facts")),
    )


def _facts(raw: object) -> dict[str, Scalar]:
    if not isinstance(raw, dict) or len(raw) > _MOST_FACTS:
        raise WireError("its facts are no object, or too many")
    for name, value in raw.items():
        if not _FACT.fullmatch(name) or not _is_fact(value):
            raise WireError(f"it tells {value!r:.60} as {name!r:.60}")
    return raw


def _is_fact(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_FACT and value.isprintable()
    if isinstance(value, (int, float)):
        return abs(value) < _LARGEST  # false for what is not a number
    return value is None


def refusal(host: Host, known: Known, ours: Versions) -> HostError | None:
    """Why this host cannot take part; None if it can."""
    if known.versions.fio != ours.fio:
        theirs = printable(known.versions.fio)
        return HostError(
            host,
            f"it has {theirs}, and this machine has {ours.fio}",
            "fio talks only to its own release; install the same one on both",
        )
    if known.problem or not known.versions.engine:
        return HostError(host, f"fio does not load the engine there: {known.problem}")
    if known.versions.engine != ours.engine:
        theirs = printable(known.versions.engine)
        return HostError(
            host,
            f"its engine is version {theirs}, and ours is {ours.engine}",
            "install the same pyfio-virtio on both",
        )
    return None


def short_of_memory(host: Host, known: Known, disk: BackendSpec | str | None) -> HostError | None:
    """Why its memory is too small for the disk; None if it is not."""
    if not isinstance(disk, BackendSpec) or disk.storage != "memory":
        return None
    if disk.size_bytes <= known.memory_bytes:
        return None
    free, wanted = format_size(known.memory_bytes & -(1 << 20)), format_size(disk.size_bytes)
    return HostError(
        host,
        f"{free} of memory are free there, and the disk needs {wanted}",
        "use a smaller disk-size, or storage null",
    )


def warning(host: Host, clock: Clock) -> str:
    """What to know about its clock; "" if nothing."""
    if abs(clock.offset_ns) / 1e6 <= LARGE_OFFSET_MS:
        return ""
    seconds = abs(clock.offset_ns) / 1e9
    word = "ahead of" if clock.offset_ns > 0 else "behind"
    return f"{host}: its clock is {seconds:.1f} s {word} ours; the times of its logs are corrected"
