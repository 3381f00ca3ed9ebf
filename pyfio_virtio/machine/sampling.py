# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPU time that processes and the machine have used up to one moment.

Owns how CPU time and context switches of all threads of a process are read, and the time that a
hypervisor took away (steal). Called from one thread; reads /proc and changes nothing. A process
that has ended reads as None.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from pyfio_virtio.machine import process
from pyfio_virtio.machine.cpu_use import CpuUse

_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Moment:
    """Totals since the start of each process and of the machine."""

    time_s: float  # monotonic
    fio: CpuUse | None
    backend: CpuUse | None
    stolen_s: float
    machine_s: float  # time of all CPUs, idle time included
    backend_start: int | None = None  # numbers of processes are used again


def prepare() -> None:
    """Imports what look() needs. Otherwise its first call would use a CPU while fio runs."""
    import psutil  # noqa: F401


def look(fio_pid: int, backend_pid: int | None) -> Moment:
    """Reads the totals of this moment."""
    import psutil  # slow to import, and only needed when something is measured

    machine = psutil.cpu_times()
    return Moment(
        time_s=time.monotonic(),
        fio=cpu_use(fio_pid),
        backend=None if backend_pid is None else cpu_use(backend_pid),
        stolen_s=machine.steal,
        # guest time is part of user time
        machine_s=sum(machine) - machine.guest - machine.guest_nice,
        backend_start=None if backend_pid is None else process.start_ticks(backend_pid),
    )


def cpu_use(pid: int) -> CpuUse | None:
    """CPU time of the process, and context switches of its threads."""
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
        switches = [_switches(thread) for thread in Path(f"/proc/{pid}/task").iterdir()]
    except (psutil.Error, OSError):
        return None
    voluntary, involuntary = (sum(each) for each in zip(*switches, strict=True))
    return CpuUse(times.user, times.system, voluntary, involuntary)


def _switches(thread: Path) -> tuple[int, int]:
    found = _SWITCHES.findall((thread / "status").read_text())
    return int(found[0]), int(found[1])


def between(first: CpuUse | None, last: CpuUse | None) -> CpuUse | None:
    """The use between two moments. Context switches of threads that have ended are not counted."""
    if first is None or last is None:
        return None
    return CpuUse(
        last.user_s - first.user_s,
        last.system_s - first.system_s,
        max(0, last.voluntary_switches - first.voluntary_switches),
        max(0, last.involuntary_switches - first.involuntary_switches),
    )


def backend_between(first: Moment, last: Moment) -> CpuUse | None:
    """The back-end's use between two moments; None if it is another process by now."""
    if first.backend_start != last.backend_start:
        return None
    return between(first.backend, last.backend)


def cpus_used(first: CpuUse | None, last: CpuUse | None, elapsed_s: float) -> float:
    """The CPUs in use between two moments: 1.0 is one whole CPU."""
    used = between(first, last)
    return (used.user_s + used.system_s) / elapsed_s if used and elapsed_s > 0 else 0.0


def steal_percent(first: Moment, last: Moment) -> float:
    """The percentage of the time of all CPUs that other virtual machines took (steal)."""
    span = last.machine_s - first.machine_s
    return 100 * (last.stolen_s - first.stolen_s) / span if span > 0 else 0.0
