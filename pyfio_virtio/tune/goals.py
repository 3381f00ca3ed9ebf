# SPDX-License-Identifier: GPL-2.0-or-later
"""What a setup can be best for, and how a run's value is read from its record. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyfio_virtio.results.record import CpuUse, Record


@dataclass(frozen=True)
class Goal:
    """A name, the metric that is compared, and which direction of it is better."""

    name: str
    metric: str
    better: Literal["higher", "lower"]

    @property
    def key(self) -> str:
        """Its name on the command line."""
        return self.name.replace(" ", "-").lower()

    @property
    def file(self) -> str:
        """The name of its job file."""
        return f"{self.key}.fio"


LATENCY = Goal("latency", "p50_ns", "lower")
IOPS = Goal("IOPS", "iops", "higher")
PER_CPU = Goal("IOPS per CPU", "iops_per_cpu", "higher")
GOALS = (LATENCY, IOPS, PER_CPU)
TAIL = "p99_ns"  # shown beside the latency, but not judged


def values(record: Record, with_backend: bool) -> dict[str, float]:
    """What a run reached, by the name of the metric. What it cannot tell is left out."""
    known = {
        LATENCY.metric: record.total.p50_ns,
        TAIL: record.total.p99_ns,
        IOPS.metric: record.total.iops,
        PER_CPU.metric: _per_cpu(record, with_backend),
    }
    return {name: value for name, value in known.items() if value}


def _per_cpu(record: Record, with_backend: bool) -> float | None:
    """The I/Os for each second of CPU time, of fio alone or of both sides."""
    sides = [record.fio_cpu, *([record.backend_cpu] if with_backend else [])]
    spent = [_seconds(each) for each in sides]
    if None in spent or not (total := sum(each or 0.0 for each in spent)):
        return None
    return record.total.iops * record.elapsed_s / total


def _seconds(use: CpuUse | None) -> float | None:
    return None if use is None else use.user_s + use.system_s
