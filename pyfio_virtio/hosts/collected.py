# SPDX-License-Identifier: GPL-2.0-or-later
"""What a host tells about a run that is over, checked field by field. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyfio_virtio.hosts import wire
from pyfio_virtio.hosts.host_errors import printable
from pyfio_virtio.hosts.wire import Message, WireError
from pyfio_virtio.machine.cpu_use import CpuUse
from pyfio_virtio.machine.sampling import Moment

_LATEST_NS = 1 << 62
_LARGEST = 1e15
_LONGEST_WORDS = 1 << 16


@dataclass(frozen=True)
class Collected:
    """Times are those of our clock, in ns; None: it never came to that."""

    run_ns: int | None  # when RUN was passed on to fio
    start_ns: int | None  # when fio said that its jobs start
    end_ns: int | None
    died: str  # the last words of a back-end that ended by itself; "": none did
    moments: Sequence[Moment] = field(repr=False, default=())
    counters: bytes = field(repr=False, default=b"")


def read(message: Message, offset_ns: int) -> Collected:
    """Reads a message `collected`. Raises WireError if a field is wrong."""
    raw = message.fields.get("moments")
    if not isinstance(raw, list) or len(raw) > wire.MOST_MOMENTS:
        raise WireError("its moments are no list, or too many")
    return Collected(
        run_ns=_time(message, "run_ns", offset_ns),
        start_ns=_time(message, "start_ns", offset_ns),
        end_ns=_time(message, "end_ns", offset_ns),
        died=printable(message.text("died", _LONGEST_WORDS)),
        moments=[_moment(each, offset_ns) for each in raw],
        counters=message.data,
    )


def _time(message: Message, name: str, offset_ns: int) -> int | None:
    ns = message.number(name, 0, _LATEST_NS)
    return ns - offset_ns if ns else None


def _moment(raw: object, offset_ns: int) -> Moment:
    if not isinstance(raw, list) or len(raw) != 5:
        raise WireError(f"it tells {raw!r:.60} as a moment")
    ns, fio, backend, stolen_s, machine_s = raw
    return Moment(
        time_s=(_number(ns, _LATEST_NS) - offset_ns) / 1e9,
        fio=_use(fio),
        backend=_use(backend),
        stolen_s=_number(stolen_s),
        machine_s=_number(machine_s),
    )


def _use(raw: object) -> CpuUse | None:
    if raw is None:
        return None
    if not isinstance(raw, list) or len(raw) != 4:
        raise WireError(f"it tells {raw!r:.60} as the use of CPUs")
    user, system, voluntary, involuntary = map(_number, raw)
    return CpuUse(user, system, int(voluntary), int(involuntary))


def _number(raw: Any, most: float = _LARGEST) -> float:  # noqa: ANN401 - of JSON
    is_number = isinstance(raw, (int, float)) and not isinstance(raw, bool)
    if not is_number or not math.isfinite(raw) or not 0 <= raw <= most:
        raise WireError(f"it tells {raw!r:.60} as a number")
    return raw  # type: ignore[no-any-return]
