# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions for each I/O, counted by valgrind's callgrind: fio's null engine and ours.

Three runs of a side differ in number_ios and in how long the back-end takes, so in how many looks
at the ring find nothing. Three equations then tell apart what a run takes once, what an I/O takes,
and what such a look takes, which depends on the back-end alone and is left out. Called from the
main thread; nothing is printed here.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench import plan
from bench.plan import BUILTIN_NULL, BUSY, FOLDER, Side
from bench.run import Cores, arguments, disk_of, launch, private_folder
from pyfio_virtio import engine
from pyfio_virtio.backends import BackendSpec
from pyfio_virtio.errors import PyfioVirtioError

FEW, MANY = 20_000, 60_000
LATENCY = "100us"
_OBJECT = re.compile(r"^\s*([\d,]+)\s.*\[(?P<object>[^\]]+)\]$")
_ALLOWED_S = 300.0


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


def solve(name: str, counts: Sequence[Count]) -> PerIo:
    """What explains the runs: once, for each I/O, for each empty look."""
    known = np.array([[1, count.ios, count.empty_looks] for count in counts], dtype=float)
    seen = np.array([[count.total, count.own] for count in counts], dtype=float)
    answer = np.linalg.lstsq(known, seen, rcond=None)[0]
    return PerIo(name, float(answer[1][0]), float(answer[1][1]), float(answer[2][1]))


def sides() -> list[tuple[Side, Side]]:
    """fio's null engine and ours, at the same depth."""
    scsi = replace(BUILTIN_NULL, options=("device=scsi", *BUILTIN_NULL.options))
    return [
        (plan.null(depth), plan.virtio(disk, depth, BUSY, f"fio_virtio, {kind}, iodepth {depth}"))
        for kind, disk, depth in (
            ("blk", BUILTIN_NULL, 32),
            ("scsi", scsi, 32),
            ("blk", BUILTIN_NULL, 16),
            ("blk", BUILTIN_NULL, 128),
            ("blk", BUILTIN_NULL, 1024),
        )
    ]


def measure(side: Side, cores: Cores) -> PerIo:
    runs = [(side, FEW), (side, MANY)]
    if isinstance(side.disk, BackendSpec):
        slower = replace(side.disk, options=(*side.disk.options, f"latency={LATENCY}"))
        runs.append((replace(side, disk=slower), FEW))
    return solve(side.name, [_count(each, cores, ios) for each, ios in runs])


def _count(side: Side, cores: Cores, ios: int) -> Count:
    # Without fio's map of blocks done: the fuller it is, the longer it is searched.
    options = {**side.options, "number_ios": str(ios), "norandommap": "1"}
    is_ours = side.engine == engine.NAME
    if is_ours:
        options["stats_file"] = f"{FOLDER}/stats"
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        stack.enter_context(disk_of(side, folder, cores.backend))
        profile = folder / "profile"
        command = arguments(replace(side, options=options), str(folder), 0)
        launch([*_callgrind(profile), *command], cores.fio, _ALLOWED_S)
        looks = json.loads((folder / "stats").read_text())["empty_looks"] if is_ours else 0
        return Count(ios, looks, *parse(_annotate(profile)))


def _callgrind(profile: Path) -> list[str]:
    return ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={profile}"]


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
