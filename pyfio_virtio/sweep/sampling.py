# SPDX-License-Identifier: GPL-2.0-or-later
"""What processes and the machine have used so far, looked at in one moment.

Owns the reading of CPU time and context switches, of all threads of a process together, and
of the time that a hypervisor took away. Called from one thread; reads /proc and changes
nothing. A process that has gone reads as None.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from pyfio_virtio.results.record import CpuUse

_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Moment:
    """Totals since each process, and the machine, began."""

    time_s: float  # monotonic
    fio: CpuUse | None
    backend: CpuUse | None
    stolen_s: float
    machine_s: float  # CPU time of all CPUs, idle ones too


def look(fio_pid: int, backend_pid: int | None) -> Moment:
    """All of it now."""
    machine = psutil.cpu_times()
    return Moment(
        time_s=time.monotonic(),
        fio=cpu_use(fio_pid),
        backend=None if backend_pid is None else cpu_use(backend_pid),
        stolen_s=machine.steal,
        # guest time is within user time already
        machine_s=sum(machine) - machine.guest - machine.guest_nice,
    )


def cpu_use(pid: int) -> CpuUse | None:
    """CPU time of the process, and context switches of its threads."""
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
    """What was used from one moment to another; threads that ended took their switches along."""
    if first is None or last is None:
        return None
    return CpuUse(
        last.user_s - first.user_s,
        last.system_s - first.system_s,
        max(0, last.voluntary_switches - first.voluntary_switches),
        max(0, last.involuntary_switches - first.involuntary_switches),
    )


def cpus_used(first: CpuUse | None, last: CpuUse | None, elapsed_s: float) -> float:
    """CPUs in use from one moment to another: 1.0 is a whole one."""
    used = between(first, last)
    return (used.user_s + used.system_s) / elapsed_s if used and elapsed_s > 0 else 0.0


def steal_percent(first: Moment, last: Moment) -> float:
    """The share of all CPUs' time that went to other guests."""
    span = last.machine_s - first.machine_s
    return 100 * (last.stolen_s - first.stolen_s) / span if span > 0 else 0.0
