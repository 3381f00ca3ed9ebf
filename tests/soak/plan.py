# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens in a round of the soak. A seed draws the same rounds; time makes them differ."""

import random
from dataclasses import dataclass

WAITS = ("event", "busy", "sleepy", "adaptive")
# Faults of the built-in back-end that a verify survives. {} is a small number.
MOODS = (
    (),
    (),
    ("latency=1ms",),
    ("fault=delay:for=20ms,every={}0",),
    ("fault=reorder:for=5ms,every={}0",),
)
ENDS = ("kill", "kill", "kill slowly", "stop")


@dataclass(frozen=True)
class DiskPlan:
    kind: str
    # A mapped file comes with a record of the requests in flight; a file does without.
    is_mapped: bool
    device: str
    queues: int
    mood: tuple[str, ...]

    @property
    def serves_many(self) -> bool:
        return self.kind == "builtin"

    def describe(self) -> str:
        storage = "mapped" if self.is_mapped else "file"
        return " ".join((self.kind, storage, self.device, f"{self.queues} queues", *self.mood))


@dataclass(frozen=True)
class RoundPlan:
    disks: tuple[DiskPlan, ...]
    wait: str
    depth: int
    jobs: int  # of fio on each disk
    has_threads: bool
    disturbances: int  # a seed for them

    def describe(self) -> str:
        jobs = f"{self.jobs} {'threads' if self.has_threads else 'processes'} of fio"
        disks = ", ".join(disk.describe() for disk in self.disks)
        return f"wait={self.wait} iodepth={self.depth}, {jobs} on each of: {disks}"


def draw_disk(draw: random.Random) -> DiskPlan:
    kind = draw.choice(("builtin", "builtin", "qsd"))
    mood = tuple(each.format(draw.randrange(1, 10)) for each in draw.choice(MOODS))
    is_builtin = kind == "builtin"
    return DiskPlan(
        kind=kind,
        is_mapped=is_builtin and draw.random() < 0.5,
        device=draw.choice(("blk", "scsi")) if is_builtin else "blk",
        queues=draw.choice((4, 6)),
        mood=mood if is_builtin else (),
    )


def draw_round(draw: random.Random) -> RoundPlan:
    disks = tuple(draw_disk(draw) for _ in range(draw.randrange(1, 4)))
    one_client = any(not disk.serves_many for disk in disks)
    return RoundPlan(
        disks=disks,
        wait=draw.choice(WAITS),
        depth=draw.choice((1, 16, 64)),
        jobs=draw.choice((1, 2, 4)),
        # A process has a connection of its own, and some back-ends serve only one.
        has_threads=one_client or draw.random() < 0.5,
        disturbances=draw.randrange(1 << 32),
    )
