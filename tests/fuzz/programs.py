# SPDX-License-Identifier: GPL-2.0-or-later
"""The targets in C, and how their programs are built: each from the project's own sources.

A program is built in one of three ways: with gcc's sanitizers, to replay inputs (every run of the
tests); with clang, its sanitizers and its fuzzer; with clang, to count which lines inputs reach.
Only files whose sources have changed are compiled again.
"""

import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ENGINE = ROOT / "engine"
BUILD = ROOT / "build" / "fuzz"


@dataclass(frozen=True)
class Side:
    """One of the two programs: the folder of its rooms, and those that targets need."""

    name: str
    folder: Path
    rooms: tuple[str, ...]

    def sources(self) -> list[Path]:
        return sorted(path for room in self.rooms for path in (self.folder / room).glob("*.c"))


FRONT = Side("front", ENGINE, ("base", "vhost", "memory", "ring", "disk", "device"))
BACK = Side(
    "back",
    ENGINE / "backend",
    ("base", "memory", "ring", "storage", "device", "blk", "scsi", "serve", "protocol"),
)


@dataclass(frozen=True)
class Target:
    """`aims`: the files whose coverage counts; `replaced`: functions that a part replaces."""

    name: str
    side: Side
    parts: tuple[str, ...]
    aims: tuple[str, ...]
    replaced: tuple[str, ...] = ("clock_gettime",)

    @property
    def seeds(self) -> Path:
        return HERE / "seeds" / f"{self.name}.hex"

    def harness(self) -> list[Path]:
        return [HERE / f"{name}.c" for name in (self.name, *self.parts, "broken")]


PEER = ("device_run", "peer", "peer_rings", "clock_stub")
PEER_REPLACES = ("clock_gettime", "connect", "shutdown", "sendmsg", "recvmsg", "poll")
BENCH = ("backend_bench", "clock_stub")
TARGETS = (
    Target(
        "replies",
        FRONT,
        PEER,
        (
            *("vhost/user.c", "vhost/wire.c", "device/negotiate.c", "device/start.c"),
            *("device/ask_type.c", "device/open_close.c", "device/reconnect.c"),
            *("device/inflight.c", "device/rewind.c", "device/same_disk.c", "device/changes.c"),
        ),
        PEER_REPLACES,
    ),
    Target(
        "discovery",
        FRONT,
        PEER,
        ("device/discover.c", "device/talk.c", "device/execute_one.c", "disk/scsi.c"),
        PEER_REPLACES,
    ),
    Target(
        "used_ring",
        FRONT,
        ("clock_stub",),
        ("ring/split.c", "ring/virtq.c", "device/queue.c"),
    ),
    Target(
        "answers",
        FRONT,
        (),
        ("disk/scsi_answer.c", "disk/sense.c", "disk/request.c"),
        (),
    ),
    Target("channel", FRONT, (), ("vhost/channel.c",), ()),
    Target(
        "messages",
        BACK,
        BENCH,
        ("protocol/connection.c", "protocol/protocol.c", "protocol/memory.c", "protocol/ring.c"),
        ("clock_gettime", "sendmsg", "recvmsg"),
    ),
    Target("memory", BACK, (), ("memory/client.c", "base/given_fd.c"), ()),
    Target(
        "chains",
        BACK,
        BENCH,
        ("ring/split.c", "ring/chain.c", "ring/held.c", "ring/ring.c", "serve/serve.c"),
    ),
    Target(
        "commands",
        BACK,
        BENCH,
        (
            *(f"scsi/{name}.c" for name in ("scsi", "command", "block", "describe", "task")),
            *("blk/blk.c", "storage/disk.c"),
        ),
    ),
    Target("inflight", BACK, (), ("ring/inflight.c", "ring/split.c"), ()),
)


class FuzzError(Exception):
    """A sentence for people."""


@dataclass(frozen=True)
class Way:
    """How programs are built."""

    name: str
    compiler: tuple[str, ...]
    flags: tuple[str, ...]
    link: tuple[str, ...]
    replays: bool  # with the main program that replays inputs


STRICT = ("-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
REPLAY = Way(
    "replay",
    tuple(shlex.split(os.environ.get("CC", "gcc"))),
    ("-O0", "-fsanitize=address,undefined", *STRICT),
    ("-fsanitize=address,undefined",),
    True,
)
# Compared values are not traced, because that takes most of the time, and inputs hold few numbers
# that must be guessed.
_TRACE = ("-fsanitize=fuzzer-no-link,address,undefined", "-fno-sanitize-coverage=trace-cmp")
FUZZ = Way(
    "search",
    ("clang",),
    ("-O1", *_TRACE, *STRICT),
    ("-fsanitize=fuzzer,address,undefined",),
    False,
)
_COUNTERS = ("-fprofile-instr-generate", "-fcoverage-mapping")
COVERAGE = Way("coverage", ("clang",), ("-O0", *_COUNTERS), _COUNTERS, True)

FLAGS = (
    *("-std=gnu11", "-D_GNU_SOURCE", "-g", "-pthread", "-Wall", "-Wextra", "-MMD"),
    *('-DENGINE_VERSION="fuzz"', "-DSLEEPY_POLL_DEFAULT=0", f"-iquote{HERE}"),
)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FuzzError(f"this failed: {shlex.join(command)}\n{done.stderr}")


def _is_current(output: Path) -> bool:
    """Whether the output is newer than all that its list of dependencies names."""
    try:
        words = output.with_suffix(".d").read_text().replace("\\\n", " ").split()[1:]
        made = output.stat().st_mtime_ns
        return all(Path(word).stat().st_mtime_ns < made for word in words)
    except OSError:
        return False


def _compile(way: Way, side: Side, source: Path) -> Path:
    name = "-".join(source.relative_to(ROOT).with_suffix(".o").parts)
    output = BUILD / way.name / side.name / name
    if not _is_current(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        own = (f"-iquote{side.folder}", "-c", str(source), "-o", str(output))
        _run([*way.compiler, *FLAGS, *way.flags, *own])
    return output


def _link(way: Way, target: Target, objects: Iterable[Path]) -> Path:
    program = BUILD / way.name / target.name
    made = program.stat().st_mtime_ns if program.exists() else 0
    paths = list(objects)
    if any(path.stat().st_mtime_ns >= made for path in paths):
        wraps = [f"-Wl,--wrap={name}" for name in target.replaced]
        _run([*way.compiler, *way.link, "-pthread", *wraps, *map(str, paths), "-o", str(program)])
    return program


def _files(way: Way, target: Target) -> list[Path]:
    main = [HERE / "replay.c"] if way.replays else []
    return [*target.side.sources(), *target.harness(), *main]


def build(way: Way, targets: Sequence[Target]) -> dict[str, Path]:
    """The program of each target."""
    wanted = {(target.side, path) for target in targets for path in _files(way, target)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ordered = sorted(wanted, key=lambda pair: (pair[0].name, pair[1]))
        paths = dict(
            zip(ordered, pool.map(lambda pair: _compile(way, *pair), ordered), strict=True)
        )
        linked = pool.map(
            lambda target: _link(
                way, target, [paths[target.side, path] for path in _files(way, target)]
            ),
            targets,
        )
        return {target.name: program for target, program in zip(targets, linked, strict=True)}
