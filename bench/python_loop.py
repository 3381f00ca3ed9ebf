# SPDX-License-Identifier: GPL-2.0-or-later
"""Random reads of 4 KiB by a Python program, for the comparison of its ways with one another.

DISK=SOCKET python_loop.py RESULT WAY DEPTH BYTES MILLISECONDS WAIT: WAY is a name in WAYS or TASKS,
and DEPTH the number of operations in flight, or of tasks. Writes the file RESULT in the form of
fio's own results, and never writes to the disk.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyfio_virtio
from pyfio_virtio import Disk, Read, aio
from pyfio_virtio.aio import AsyncDisk
from pyfio_virtio.disk.operation import Operation

BLOCK_BYTES = 4096
BATCH = 32
# Offsets are drawn before the clock starts.
OFFSETS = 1 << 16
BIN_NS = 100


@dataclass
class Load:
    """The reads, and their latencies."""

    depth: int
    offsets: list[int]
    length_ns: int
    count: int = 0
    latencies: Counter[int] = field(default_factory=Counter)
    begun_ns: int = 0

    def begin(self) -> None:
        self.begun_ns = time.perf_counter_ns()

    def is_over(self) -> bool:
        return time.perf_counter_ns() - self.begun_ns >= self.length_ns

    def next(self, count: int) -> list[int]:
        """The offsets of the next reads."""
        first = self.count % (OFFSETS // 2)
        return self.offsets[first : first + count]

    def note(self, count: int, latency_ns: int) -> None:
        self.count += count
        self.latencies[latency_ns // BIN_NS] += count


def calls(disk: Disk, load: Load) -> None:
    """Disk.pread(), one after the other."""
    while not load.is_over():
        begun_ns = time.perf_counter_ns()
        disk.pread(BLOCK_BYTES, load.next(1)[0])
        load.note(1, time.perf_counter_ns() - begun_ns)


Again = Callable[[list[Operation], list[int], int], list[Operation]]


def renew(done: list[Operation], offsets: list[int], now_ns: int) -> list[Operation]:
    return [Read(each.buffer or b"", at, now_ns) for each, at in zip(done, offsets, strict=True)]


def reuse(done: list[Operation], offsets: list[int], now_ns: int) -> list[Operation]:
    for each, offset in zip(done, offsets, strict=True):
        each.offset, each.key = offset, now_ns
    return done


def operations(disk: Disk, load: Load, batch: int, again: Again) -> None:
    """Submits as many operations as it collects, at least `batch` of them, without a pause."""
    now_ns = time.perf_counter_ns()
    first = [Read(disk.alloc(BLOCK_BYTES), 0, now_ns) for _ in range(load.depth)]
    with disk.operations() as submitted:
        submitted.submit(first)
        while not load.is_over():
            done = submitted.completed(batch)
            now_ns = time.perf_counter_ns()
            offsets = load.next(len(done))
            # All of a batch count as the first one, which was submitted with most of them.
            load.note(len(done), now_ns - done[0].key)
            submitted.submit(again(done, offsets, now_ns))


async def tasks(socket: str, wait: str, load: Load) -> None:
    """Tasks of asyncio that each await one pread() after the other."""

    async def read(disk: AsyncDisk) -> None:
        while not load.is_over():
            begun_ns = time.perf_counter_ns()
            await disk.pread(BLOCK_BYTES, load.next(1)[0])
            load.note(1, time.perf_counter_ns() - begun_ns)

    async with aio.open(socket, wait=wait) as disk:
        load.begin()
        await asyncio.gather(*(read(disk) for _ in range(load.depth)))


WAYS: dict[str, Callable[[Disk, Load], None]] = {
    "pread": calls,
    "single": partial(operations, batch=1, again=renew),
    "batches": partial(operations, batch=BATCH, again=renew),
    "again": partial(operations, batch=BATCH, again=reuse),
}
TASKS = "tasks"


def result(load: Load, elapsed_ns: int) -> dict[str, object]:
    """What fio's JSON has of it."""
    bins = {str(number * BIN_NS): count for number, count in sorted(load.latencies.items())}
    mean = sum(int(each) * count for each, count in bins.items()) / max(1, load.count)
    read = {
        "runtime": elapsed_ns / 1e6,
        "total_ios": load.count,
        "bw": 0,
        "iops": load.count * 1e9 / elapsed_ns,
        "lat_ns": {"bins": bins, "N": load.count, "max": int(list(bins)[-1]), "mean": mean},
    }
    none = {"total_ios": 0}
    job = {"jobname": "loop", "groupid": 0, "error": 0, "read": read, "write": none, "trim": none}
    return {"jobs": [job]}


def main() -> None:
    path, way, depth, size, length_ms, wait = sys.argv[1:]
    blocks = int(size) // BLOCK_BYTES
    chance = random.Random(1)  # noqa: S311 - these are no secrets
    offsets = [chance.randrange(blocks) * BLOCK_BYTES for _ in range(OFFSETS)]
    load = Load(int(depth), offsets, int(length_ms) * 1_000_000)
    if way == TASKS:
        asyncio.run(tasks(os.environ["DISK"], wait, load))
    else:
        with pyfio_virtio.open(os.environ["DISK"], wait=wait) as disk:
            load.begin()
            WAYS[way](disk, load)
    elapsed_ns = time.perf_counter_ns() - load.begun_ns
    Path(path).write_text(json.dumps(result(load, elapsed_ns)))


if __name__ == "__main__":
    main()
