# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches what a process must give back: descriptors, threads, memory, children, shared memory."""

import gc
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# Python's own memory moves by some MiB.
SPARE_BYTES = 48 << 20
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - it is only listed
# The first rounds import modules and fill caches.
WARM_UP = 2


def _descriptors(process: psutil.Process) -> int:
    return sum(each.num_fds() for each in (process, *process.children(recursive=True)))


@dataclass
class FioWatch:
    """The descriptors of a fio and its children. A reconnect uses some more for a moment."""

    process: psutil.Process
    # The first reconnect of a device keeps one: the memory in which the disk is asked for its name.
    spare: int
    samples: list[int] = field(default_factory=list)

    def sample(self) -> None:
        with suppress(psutil.Error):  # it has just ended
            self.samples.append(_descriptors(self.process))

    def grown(self) -> str:
        """A sentence, or "". Compares the least of the second quarter and of the last one."""
        quarter = len(self.samples) // 4
        if quarter < 3:
            return ""
        before = min(self.samples[quarter : 2 * quarter])
        # In its last moments fio closes what it has.
        after = min(self.samples[-quarter:-2] or self.samples[-quarter:])
        return (
            ""
            if after <= before + self.spare
            else f"fio's descriptors grew from {before} to {after}"
        )


@dataclass(frozen=True)
class Sample:
    descriptors: int
    threads: int
    children: int
    shared_files: int
    rss_bytes: int


def sample() -> Sample:
    """Of this process, between two rounds."""
    gc.collect()
    own = psutil.Process()
    return Sample(
        descriptors=own.num_fds(),
        threads=own.num_threads(),
        children=len(own.children(recursive=True)),
        shared_files=sum(1 for each in SHARED_MEMORY.iterdir() if each.is_file()),
        rss_bytes=own.memory_info().rss,
    )


def grown(samples: list[Sample]) -> str:
    """A sentence that names what grew over the rounds, or ""."""
    usual = samples[WARM_UP:]
    if not usual:
        return ""
    first, last = usual[0], usual[-1]
    for name in ("descriptors", "threads", "children", "shared_files"):
        before, after = getattr(first, name), getattr(last, name)
        if after > before:
            return f"{name} grew from {before} to {after} in {len(usual)} rounds"
    if last.rss_bytes > first.rss_bytes + SPARE_BYTES:
        before, after = first.rss_bytes >> 20, last.rss_bytes >> 20
        return f"memory grew from {before} to {after} MiB in {len(usual)} rounds"
    return ""
