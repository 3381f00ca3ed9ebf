# SPDX-License-Identifier: GPL-2.0-or-later
"""IOPS per core: the I/Os for each second of CPU time that fio and the back-end spend on them.

Owns the definition, so that every command means the same figure. The I/Os and the CPU time must be
of the same period. A back-end that polls uses its CPU while it waits too, and this counts. If the
CPU time of one side is not known, there is no figure for both sides; that of the other side is
shown under its own name. No back-end does I/Os in no time, so a CPU time of 0 is not known either:
the kernel counts it in steps of 10 ms, or the process that was asked does not serve the socket.
Pure; any thread may call it.
"""

from __future__ import annotations

from collections.abc import Iterable

# The columns of a record: both sides together, and each side alone.
BOTH, FIO, BACKEND = "iops_per_core", "fio_iops_per_core", "backend_iops_per_core"
SIDES = (BOTH, FIO, BACKEND)
FIO_ALONE = "fio's side alone"
UNKNOWN = "the back-end's CPU time is not known"


def per_core(ios: float | None, cpu_s: float | None) -> float | None:
    """I/Os per second of CPU time; None if one of them is not known, or if no CPU time was seen."""
    return ios / cpu_s if ios and cpu_s and ios > 0 and cpu_s > 0 else None


def of_sides(
    ios: float | None, fio_s: float | None, backend_s: float | None, has_backend: bool = True
) -> dict[str, float | None]:
    """The figures by their columns. Without a back-end, fio does all the work itself."""
    both_s = fio_s if not has_backend else _sum(fio_s, backend_s or None)
    return {
        BOTH: per_core(ios, both_s),
        FIO: per_core(ios, fio_s),
        BACKEND: per_core(ios, backend_s) if has_backend else None,
    }


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def covered(spans: Iterable[tuple[int, int]]) -> int:
    """The CPU time of a process during periods that may overlap, from its CPU time at the beginning
    and at the end of each period. None of it is counted twice.
    """
    total, reached = 0, 0
    for begun, ended in sorted(spans):
        total += max(0, ended - max(begun, reached))
        reached = max(reached, ended)
    return total
