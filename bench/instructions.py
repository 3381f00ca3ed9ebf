# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions for each I/O, counted by valgrind's callgrind: fio's null engine and ours.

Looks at the ring that find nothing depend on the back-end alone, and are left out. What one takes
is told by two runs on back-ends that are slow to a different degree, and so differ in such looks
alone; what an I/O takes by two runs that differ in number_ios. Called from the main thread; nothing
is printed here.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import plan
from bench.plan import BUILTIN_NULL, BUSY, Side
from bench.run import Turns
from pyfio_virtio.backends.backends import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.results.results import COUNTERS

FEW, MANY = 20_000, 60_000
# Slower than callgrind makes fio at iodepth 32, or it would never look in vain; not so slow that
# looking for SCSI disks takes too long.
SLOW, SLOWER = "latency=3ms", "latency=6ms"
# Fewer looks in vain for each I/O than this are none.
_FEWEST_LOOKS = 0.01
_OBJECT = re.compile(r"^\s*([\d,]+)\s.*\[(?P<object>[^\]]+)\]$")
PATIENCE_S = 300.0
_PROFILE = "callgrind.out"
# fio unloads the engine of a job file before it ends, and callgrind would then not know any more
# which object its instructions were of.
_LOADED = ("env", f"LD_PRELOAD={engine.NAME}")
_CALLGRIND = (
    *(*_LOADED, "valgrind", "-q", "--tool=callgrind"),
    f"--callgrind-out-file={_PROFILE}",
)


@dataclass(frozen=True)
class Count:
    """One run: instructions in all, and those in the engine's own object."""

    ios: int
    empty_looks: int
    total: int
    own: int


@dataclass(frozen=True)
class PerIo:
    """What one I/O takes; and one look that finds nothing."""

    name: str
    total: float
    own: float
    empty_look: float


def per_look(slow: Count, slower: Count) -> float:
    """What one look takes that finds nothing; all of it is in the engine's own object.

    0 where there are none to leave out: at great depth there is always something.
    """
    more_looks = slower.empty_looks - slow.empty_looks
    if more_looks < _FEWEST_LOOKS * slower.ios:
        return 0.0
    return (slower.own - slow.own) / more_looks


def per_io(name: str, few: Count, many: Count, look: float) -> PerIo:
    """What one I/O takes, without looks that find nothing."""
    ios, looks = many.ios - few.ios, look * (many.empty_looks - few.empty_looks)
    total, own = many.total - few.total - looks, many.own - few.own - looks
    return PerIo(name, total / ios, own / ios, look)


def sides() -> list[tuple[Side, Side]]:
    """fio's null engine and ours, at the same depth."""
    scsi = replace(BUILTIN_NULL, options=("device=scsi", *BUILTIN_NULL.options))
    queues = replace(BUILTIN_NULL, queues=16)
    asked = (
        ("blk", BUILTIN_NULL, 32, 1),
        ("scsi", scsi, 32, 1),
        ("blk", BUILTIN_NULL, 16, 1),
        ("blk", BUILTIN_NULL, 128, 1),
        ("blk", BUILTIN_NULL, 1024, 1),
        ("blk, 16 queues", queues, 32, 16),
    )
    found = []
    for kind, disk, depth, jobs in asked:
        ours = plan.virtio(disk, depth, BUSY, f"fio_virtio, {kind}, iodepth {depth}")
        found.append((_with_jobs(plan.null(depth), jobs), _with_jobs(ours, jobs)))
    return found


def _with_jobs(side: Side, jobs: int) -> Side:
    return replace(side, options={**side.options, "numjobs": str(jobs)})


def measure(side: Side, turns: Turns) -> PerIo:
    """What an I/O of this side takes; without a disk there is nothing to look at."""
    look = 0.0
    if isinstance(side.disk, BackendSpec):
        slow, slower = (
            replace(side, disk=replace(side.disk, options=(*side.disk.options, latency)))
            for latency in (SLOW, SLOWER)
        )
        look = per_look(_count(slow, turns, FEW), _count(slower, turns, FEW))
    return per_io(side.name, _count(side, turns, FEW), _count(side, turns, MANY), look)


def _count(side: Side, turns: Turns, ios: int) -> Count:
    each = ios // int(side.options["numjobs"])
    # Without fio's map of blocks done: the fuller it is, the longer it is searched.
    options = {**side.options, "number_ios": str(each), "norandommap": "1"}
    if side.engine == engine.NAME:
        options["stats_file"] = COUNTERS
    counted = replace(side, options=options)
    record, folder = turns.once(turns.trial(counted, f"{ios} I/Os", under=_CALLGRIND))
    looks = int(record.counters.get("empty_looks", 0))
    return Count(ios, looks, *parse(_annotate(folder / _PROFILE)))


def _annotate(profile: Path) -> str:
    command = ["callgrind_annotate", "--threshold=100", "--auto=no", str(profile)]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise PyfioVirtioError(
            "cannot read callgrind's profile",
            str(error),
            "install it (Debian: apt install valgrind)",
        ) from error


def parse(text: str) -> tuple[int, int]:
    """Of callgrind_annotate: all instructions, and those of our object."""
    total = re.search(r"^\s*([\d,]+)\s.*PROGRAM TOTALS", text, re.MULTILINE)
    if total is None:
        raise PyfioVirtioError("callgrind_annotate names no totals", text[-200:])
    own = 0
    for line in text.splitlines():
        found = _OBJECT.match(line)
        if found and Path(found["object"]).name == engine.NAME:
            own += _number(found[1])
    return _number(total[1]), own


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def table(pairs: Sequence[tuple[PerIo, PerIo]]) -> str:
    """A table in markdown, a line a pair."""
    lines = [
        "| engine | fio with its null engine | fio with ours | added | in our object "
        "| an empty look, left out |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {ours.name} | {null.total:.0f} | {ours.total:.0f} | {ours.total - null.total:.0f} "
        f"| {ours.own:.0f} | {ours.empty_look:.0f} |"
        for null, ours in pairs
    ]
    return "\n".join(lines) + "\n"
