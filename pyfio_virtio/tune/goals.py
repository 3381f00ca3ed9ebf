# SPDX-License-Identifier: GPL-2.0-or-later
"""What a setup can be best for, and how a run's value is read from its record. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyfio_virtio import efficiency
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
PER_CORE = Goal("IOPS per core", efficiency.BOTH, "higher")
GOALS = (LATENCY, IOPS, PER_CORE)
TAIL = "p99_ns"  # shown beside the latency, but not judged


def values(record: Record, with_backend: bool) -> dict[str, float]:
    """What a run reached, by the name of the metric. What it cannot tell is left out.

    IOPS per core are those of fio's side alone if the back-end's CPU time is not known.
    """
    known = {
        LATENCY.metric: record.total.p50_ns,
        TAIL: record.total.p99_ns,
        IOPS.metric: record.total.iops,
        PER_CORE.metric: record.iops_per_core[efficiency.BOTH if with_backend else efficiency.FIO],
    }
    return {name: value for name, value in known.items() if value}
