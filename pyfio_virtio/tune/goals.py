# SPDX-License-Identifier: GPL-2.0-or-later
"""What a setup can be best for, and how a run's value is read from its record. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyfio_virtio.efficiency import BOTH, FIO
from pyfio_virtio.results.record import Record


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
        PER_CPU.metric: record.iops_per_core[BOTH if with_backend else FIO],
    }
    return {name: value for name, value in known.items() if value}
