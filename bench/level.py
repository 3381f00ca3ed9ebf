# SPDX-License-Identifier: GPL-2.0-or-later
"""How even a run is: compares each half second of a run with the median of all of them.

The load is that of jobs/virtio.fio, for ten seconds, and the scheduler places fio and its back-end,
as in `pyfio-virtio run`. If a run pays a cost only once, such as the first touch of
memory, its first half second is slower than the others. Two threads in C that copy as many blocks
take turns with the disks. They run no code of ours, so the machine alone causes the differences
between their half seconds. All functions are pure except level_of(), which reads the files of a
run.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.plan import DISK, PAIR, Comparison, Side
from pyfio_virtio.analysis import stats
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.results.record import Record

HALF_MS = 500
# The number of half seconds that are used. A run lasts for one more, because fio's log may not
# cover the last one completely.
HALVES = 20
LOG = "level"
RUNTIME_S = (HALVES + 1) * HALF_MS / 1000
# A half second is level if it differs from the median by this share at most.
NEAR = 0.15
MEMORY = BackendSpec(storage="memory")
UNFILLED = replace(MEMORY, options=("populate=off",))
DISKS = {
    "built-in, null": BackendSpec(storage="null"),
    "built-in, 1 GiB in memory": MEMORY,
    "the same, filled as it is used": UNFILLED,
    "qemu-storage-daemon, 1 GiB in memory": BackendSpec(kind="qsd", storage="memory"),
}
# Two threads that exchange requests and copy blocks: pair_loop.c.
PEER = "two threads in C, 1 GiB in memory"


@dataclass(frozen=True)
class Level:
    """One run."""

    halves: tuple[float, ...]  # IOPS of each half second
    p99_us: float | None  # of reads

    @property
    def median(self) -> float:
        return median(self.halves)

    def ratio(self, half: int) -> float:
        """The IOPS of that half second divided by the median."""
        return self.halves[half] / self.median

    @property
    def lowest(self) -> float:
        return min(self.halves) / self.median

    @property
    def spread(self) -> float:
        """The distance of the fastest half second from the slowest, divided by the median."""
        return (max(self.halves) - min(self.halves)) / self.median

    @property
    def level(self) -> int:
        """How many half seconds are near the median."""
        return sum(abs(self.ratio(half) - 1) <= NEAR for half in range(len(self.halves)))


def comparison() -> Comparison:
    """A comparison of all disks under the same load."""
    options = {
        "ioengine": "fio_virtio",
        "filename": DISK,
        "rw": "randrw",
        "bs": "4k",
        "iodepth": "128",
        "thread": "1",
        "clocksource": "cpu",
        "write_iops_log": LOG,
        "per_job_logs": "0",
        "log_avg_msec": str(HALF_MS),
    }
    base, *others = (Side(name, options, disk) for name, disk in DISKS.items())
    load = {**options, "ioengine": PAIR, "size": str(MEMORY.size_bytes)}
    others.append(Side(PEER, load, program=PAIR))
    return Comparison("half seconds", base, tuple(others), on_any_core=True, runtime_s=RUNTIME_S)


def halves(log: str, count: int = HALVES) -> tuple[float, ...]:
    """IOPS of each half second, reads and writes together, from fio's log."""
    sums: dict[int, float] = defaultdict(float)
    for line in log.splitlines():
        at_ms, value = line.split(",")[:2]
        # A line covers the time before its time stamp, which may be a few ms late.
        sums[round(int(at_ms) / HALF_MS) - 1] += float(value)
    return tuple(sums[half] for half in range(count))


def level_of(record: Record, folder: Path, count: int = HALVES) -> Level:
    """Reads a run whose files are in `folder`."""
    reads = record.directions["read"]
    p99_us = None if reads.p99_ns is None else reads.p99_ns / 1000
    return Level(halves((folder / f"{LOG}_iops.log").read_text(), count), p99_us)


COLUMNS = (
    *("disk", "first half second to the run's median", "second", "third", "lowest of twenty"),
    *(
        "within 15% of the median",
        "spread beside the two threads'",
        "IOPS, median",
        "p99 µs, reads",
    ),
)


def table(measured: Sequence[Sequence[Level]]) -> str:
    """A table in Markdown, one line for each disk; each figure is a median over the runs."""
    lines: list[Sequence[str]] = [COLUMNS, ["---"] * len(COLUMNS)]
    *disks, peers = zip(*measured, strict=True)
    for name, runs in zip(DISKS, disks, strict=True):
        spread = _ratio_of_spreads(runs, peers)
        lines.append(_row(name, runs, spread))
    lines.append(_row(PEER, peers, "1"))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _median_text(found: stats.Estimate) -> str:
    interval = found.interval
    return (
        f"{found.value:.2f} ({interval.low:.2f} to {interval.high:.2f}, {interval.confidence:.0%})"
    )


def _ratio_of_spreads(runs: Sequence[Level], peers: Sequence[Level]) -> str:
    """Ratios within a round, because a change of the machine affects both runs of it."""
    ratios = [run.spread / peer.spread for run, peer in zip(runs, peers, strict=True)]
    return _median_text(stats.median(ratios))


def _row(name: str, runs: Sequence[Level], spread: str) -> list[str]:
    first = stats.median([run.ratio(0) for run in runs])
    rest = [median(run.ratio(half) for run in runs) for half in (1, 2)]
    p99 = [run.p99_us for run in runs if run.p99_us is not None]
    return [
        *(name, _median_text(first), *(f"{ratio:.2f}" for ratio in rest)),
        f"{median(run.lowest for run in runs):.2f}",
        f"{sum(run.level for run in runs)} of {sum(len(run.halves) for run in runs)}",
        spread,
        f"{median(run.median for run in runs):,.0f}",
        f"{median(p99):.3g}" if p99 else "-",
    ]
