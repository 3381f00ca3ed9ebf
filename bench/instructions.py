# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions for each I/O, counted by valgrind's callgrind: fio's null engine and ours.

The number of looks at the ring that find nothing depends only on the back-end's speed, so such
looks are subtracted. Two runs on back-ends with different latencies differ only in the number of
these looks, and give the cost of one. Two runs with different number_ios give the cost of an I/O.
All of this is called from the main thread, and prints nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import plan
from bench.plan import BUILTIN_NULL, BUSY, Side
from bench.run import Turns
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.engine import engine
from pyfio_virtio.errors import PyfioVirtioError
from pyfio_virtio.results.results import COUNTERS

FEW, MANY = 20_000, 60_000
# A latency must be longer than fio takes under callgrind for as many I/Os as are in flight, because
# otherwise fio would make no look that finds nothing. It must not be so long that the search for
# SCSI disks, or 20,000 I/Os at iodepth 1, take too long.
_SLOW_US, _SLOWEST_US = 100, 3200
# If there are fewer empty looks for each I/O, their cost is not measured.
_FEWEST_LOOKS = 0.01
# In callgrind's file, "ob=(NUMBER) PATH" says to which object the next functions belong. The path
# is left out after the first time. A line of costs begins with a position, and Ir comes last.
_OBJECT = re.compile(r"c?ob=(?P<number>\(\d+\))(?: (?P<path>.*))?")
_COST = re.compile(r"[-+*\d]\S* (?P<cost>\d+)")
PATIENCE_S = 300.0
_PROFILE = "callgrind.out"
# fio unloads the engine before it ends, and callgrind would then not know the object of the
# engine's instructions. So the engine is preloaded, which keeps it loaded.
_LOADED = ("env", f"LD_PRELOAD={engine.NAME}")
_CALLGRIND = (
    *(*_LOADED, "valgrind", "-q", "--tool=callgrind"),
    f"--callgrind-out-file={_PROFILE}",
)


@dataclass(frozen=True)
class Count:
    """One run: all instructions, and those in the engine's shared object."""

    ios: int
    empty_looks: int
    total: int
    own: int


@dataclass(frozen=True)
class PerIo:
    """The instructions for one I/O, and for one look that finds nothing."""

    name: str
    total: float
    own: float
    empty_look: float


def per_look(slow: Count, slower: Count) -> float:
    """The instructions for one look that finds nothing; all are in the engine's shared object.

    0 if there are no such looks, because at a large iodepth a look always finds something.
    """
    more_looks = slower.empty_looks - slow.empty_looks
    if more_looks < _FEWEST_LOOKS * slower.ios:
        return 0.0
    return (slower.own - slow.own) / more_looks


def per_io(name: str, few: Count, many: Count, look: float) -> PerIo:
    """The instructions for one I/O, without looks that find nothing."""
    ios, looks = many.ios - few.ios, look * (many.empty_looks - few.empty_looks)
    total, own = many.total - few.total - looks, many.own - few.own - looks
    return PerIo(name, total / ios, own / ios, look)


def sides() -> list[tuple[Side, Side]]:
    """Pairs of fio's null engine and ours, at the same iodepth."""
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
        found.append((plan.with_jobs(plan.null(depth), jobs), plan.with_jobs(ours, jobs)))
    return found


def measure(side: Side, turns: Turns) -> PerIo:
    """The instructions for one I/O of this side; a side without a disk makes no looks."""
    look = 0.0
    if isinstance(side.disk, BackendSpec):
        latency_us = min(_SLOW_US * int(side.options["iodepth"]), _SLOWEST_US)
        slow, slower = (
            replace(side, disk=replace(side.disk, options=(*side.disk.options, latency)))
            for latency in (f"latency={latency_us}us", f"latency={2 * latency_us}us")
        )
        look = per_look(_count(slow, turns, FEW), _count(slower, turns, FEW))
    return per_io(side.name, _count(side, turns, FEW), _count(side, turns, MANY), look)


def _count(side: Side, turns: Turns, ios: int) -> Count:
    each = ios // int(side.options["numjobs"])
    # Without fio's map of random blocks, because a search in it takes longer the fuller it is.
    options = {**side.options, "number_ios": str(each), "norandommap": "1"}
    if side.engine == engine.NAME:
        options["stats_file"] = COUNTERS
    counted = replace(side, options=options)
    record, folder = turns.once(turns.trial(counted, f"{ios} I/Os", under=_CALLGRIND))
    looks = int(record.counters.get("empty_looks", 0))
    with (folder / _PROFILE).open() as profile:
        return Count(ios, looks, *parse(profile))


def parse(profile: Iterable[str]) -> tuple[int, int]:
    """Reads callgrind's file: all instructions, and those of our shared object.

    callgrind_annotate does not tell the object of lines that the compiler moved into a function of
    another source file, so its output would not do.
    """
    paths: dict[str, str] = {}
    total, own, is_own, is_call = 0, 0, False, False
    for line in profile:
        if found := _OBJECT.match(line):
            paths.setdefault(found["number"], found["path"])
            if line.startswith("ob="):
                is_own = Path(paths[found["number"]]).name == engine.NAME
        elif line.startswith("calls="):
            is_call = True  # the next line is what the call cost, which the callee has too
        elif found := _COST.match(line):
            total += 0 if is_call else int(found["cost"])
            own += int(found["cost"]) if is_own and not is_call else 0
            is_call = False
    if not total:
        raise PyfioVirtioError("cannot count instructions", "callgrind's file has no costs")
    return total, own


def table(pairs: Sequence[tuple[PerIo, PerIo]]) -> str:
    """A table in Markdown, with one line for each pair."""
    lines = [
        "| engine | fio with its null engine | fio with ours | added | in our object "
        "| an empty look, not included |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {ours.name} | {null.total:.0f} | {ours.total:.0f} | {ours.total - null.total:.0f} "
        f"| {ours.own:.0f} | {ours.empty_look:.0f} |"
        for null, ours in pairs
    ]
    return "\n".join(lines) + "\n"
