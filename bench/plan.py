# SPDX-License-Identifier: GPL-2.0-or-later
"""Defines every comparison as data.

All functions are pure. This file starts nothing; run.py does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.sweep.job import DISK_VARIABLE, SCRATCH

Options = Mapping[str, str]

# The loops: C files of this folder, without their suffix.
BARE, BLOCKING, ASYNC = "bare_loop", "blocking_loop", "async_loop"
COPY, PAIR = "copy_loop", "pair_loop"

# A program of this folder in Python.
PYTHON = "python_loop"

# The name of the group whose scratch file is on a disk; those of the others are in memory.
FILES = "files"

# The disk of a side; fio takes its path from an environment variable.
DISK = f"${{{DISK_VARIABLE}}}"

DISK_BYTES = 256 << 20
SLEEPS_US = (5, 10, 20, 50, 100, 200)
# About the time that fio itself takes for an I/O, measured with its null engine.
FIOS_OWN_NS = 550
# The runtime of each run in comparisons with many runs.
SHORT_S = 0.5


@dataclass(frozen=True)
class MemoryFile:
    """A file in /dev/shm with all its blocks allocated, for fio's own engines."""

    size_bytes: int = DISK_BYTES


@dataclass(frozen=True)
class Side:
    """One side of a comparison: fio's options, and the disk."""

    name: str
    options: Options
    disk: BackendSpec | MemoryFile | None = None
    program: str | None = None  # one of the loops, or PYTHON: it replaces fio
    pause_ns: int = 0  # BARE: the pause between two I/Os
    way: str = ""  # PYTHON: how it reads
    batch: int = 0  # ASYNC: how many operations a call submits and collects; 0: one
    has_neighbour: bool = False  # another program uses all of the back-end's CPU that it can get
    links: int = 0  # so many links to the disk's socket are made in the folder in which fio runs

    @property
    def engine(self) -> str:
        return self.options["ioengine"]


@dataclass(frozen=True)
class Comparison:
    """Sides that take turns; each of the others is compared with the base."""

    title: str
    base: Side
    others: tuple[Side, ...]
    shares_core: bool = False  # fio and its back-end run on one CPU
    on_any_core: bool = False  # the scheduler places both
    metric: str = "iops"  # a field of run.Run
    aim: float | None = None  # the lowest ratio that we want to see
    runtime_s: float = 1.0

    @property
    def full_title(self) -> str:
        """A title that no other comparison of the group has."""
        return f"{self.title}, beside {self.base.name}"

    @property
    def sides(self) -> tuple[Side, ...]:
        return (self.base, *self.others)


QSD_NULL = BackendSpec(kind="qsd", storage="null")
BUILTIN_NULL = BackendSpec(kind="builtin", storage="null", options=("serve=poll",))
BUILTIN_NULL_EVENT = BackendSpec(kind="builtin", storage="null", options=("serve=event",))
BUILTIN_NULL_20_US = BackendSpec(
    kind="builtin", storage="null", options=("serve=poll", "latency=20us")
)
BUILTIN_MEMORY = BackendSpec(
    kind="builtin", storage="memory", size_bytes=DISK_BYTES, options=("serve=poll",)
)
# qemu-storage-daemon 7.2 aborts when an NBD client disconnects from a node that has an iothread. So
# NBD and vhost-user each get their own daemon.
QSD_NULL_BY_NBD = BackendSpec(kind="nbd", storage="null")
_DISKS = {"qemu-storage-daemon null-co": QSD_NULL, "built-in null, serve=poll": BUILTIN_NULL}


def load(depth: int, size_bytes: int = DISK_BYTES) -> dict[str, str]:
    """The load of every comparison, for all engines."""
    return {
        "rw": "randread",
        "bs": "4k",
        "iodepth": str(depth),
        "thread": "1",
        "size": str(size_bytes),
        # By default, fio tests the CPU's counter at its start. If it finds two CPUs a few cycles
        # apart, by chance, it uses a slower clock, and every I/O takes about 80 ns more.
        "clocksource": "cpu",
    }


def virtio(disk: BackendSpec, depth: int, wait: Options, name: str = "") -> Side:
    """A side with our engine; wait holds the engine's options."""
    engine = {"ioengine": "fio_virtio", "filename": DISK, **wait}
    words = " ".join(f"{key}={value}" for key, value in wait.items())
    return Side(name or f"fio_virtio {words}", {**engine, **load(depth)}, disk)


def null(depth: int) -> Side:
    """A side with fio's null engine, which does nothing and shows the cost of fio itself."""
    return Side("fio's null engine", {"ioengine": "null", **load(depth)})


def bare(disk: BackendSpec, depth: int, pause_ns: int = 0) -> Side:
    """A side with a C loop over the engine's queue, without fio and the code for fio."""
    name = "a bare C loop" + (f", {pause_ns} ns between I/Os" if pause_ns else "")
    return Side(name, {"ioengine": "fio_virtio", **load(depth)}, disk, BARE, pause_ns)


def blocking(disk: BackendSpec, threads: int, wait: Options) -> Side:
    """A side with device_read(), called by that many threads on one queue."""
    options = {"ioengine": "fio_virtio", **wait, **load(threads)}
    return Side(f"device_read(), {threads} threads", options, disk, BLOCKING)


def operations(disk: BackendSpec, depth: int, batch: int) -> Side:
    """A side with one thread that submits operations and collects them later."""
    options = {"ioengine": "fio_virtio", **BUSY, **load(depth)}
    name = f"async_submit_many(), {batch} at a time" if batch else "async_submit(), one at a time"
    return Side(name, options, disk, ASYNC, batch=batch)


def python(way: str, depth: int, wait: Options, name: str) -> Side:
    """A side with a Python program, which reads in this way of python_loop.py."""
    options = {"ioengine": "fio_virtio", **wait, **load(depth)}
    return Side(name, options, BUILTIN_NULL, PYTHON, way=way)


def copy(depth: int, block_bytes: int) -> Side:
    """A side with a C loop that copies as much as a back-end with a disk in memory must."""
    options = {"ioengine": COPY, **load(depth), "bs": str(block_bytes)}
    return Side(f"a C loop that copies {block_bytes >> 10} KiB", options, program=COPY)


def file(engine: str, depth: int) -> Side:
    """A side with fio's engine on a file in memory, buffered because tmpfs has no direct I/O."""
    options = {"ioengine": engine, "filename": DISK, **load(depth)}
    return Side(f"fio's {engine}, file in memory", options, MemoryFile())


def on_file(kind: str, depth: int, *options: str) -> Side:
    """A side whose back-end serves a scratch file on a disk."""
    spec = BackendSpec(kind, f"file:{SCRATCH}", DISK_BYTES, options=options)
    return virtio(spec, depth, BUSY, f"on {kind} {' '.join(options)}")


def nbd(depth: int) -> Side:
    """A side with fio's nbd engine, on a node like that of our engine."""
    options = {"ioengine": "nbd", "uri": DISK, **load(depth)}
    return Side("fio's nbd engine", options, QSD_NULL_BY_NBD)


def with_jobs(side: Side, jobs: int) -> Side:
    """The same load by that many jobs."""
    return replace(side, options={**side.options, "numjobs": str(jobs)})


def on_disks(side: Side, count: int) -> Side:
    """The same job with as many disks. Each path to a socket is another disk for the engine."""
    if count == 1:
        return side
    names = ":".join(f"disk{number}" for number in range(1, count + 1))
    options = {**side.options, "filename": names, "size": str(count * DISK_BYTES)}
    return replace(side, options=options, links=count if side.disk else 0)


# A simple loop around an eventfd, which asks for calls all the time.
NAIVE = {"wait": "event", "call_suppression": "off"}
EVENT, BUSY, ADAPTIVE = {"wait": "event"}, {"wait": "busy"}, {"wait": "adaptive"}


def sleepy(sleep_us: int) -> Options:
    return {"wait": "sleepy", "sleepy_poll": str(sleep_us)}


def _against_null() -> Iterator[Comparison]:
    for name, disk in _DISKS.items():
        ours = virtio(disk, 128, BUSY)
        yield Comparison(f"iodepth 128, {name}", null(128), (ours,), aim=0.80)


def _bare() -> Iterator[Comparison]:
    """One of the loops pauses as long as fio takes, because a back-end that has fallen asleep
    answers later. Otherwise this delay would count as the cost of fio's glue."""
    for name, disk in _DISKS.items():
        for depth, pause_ns in ((1, 0), (1, FIOS_OWN_NS), (128, 0)):
            ours = virtio(disk, depth, BUSY)
            yield Comparison(f"iodepth {depth}, {name}", bare(disk, depth, pause_ns), (ours,))


# The lowest ratio to fio that we want to see for threads that share a CPU.
_AIM_OF_THREADS = {"event": 0.8, "adaptive": 0.8}


def _threads() -> Iterator[Comparison]:
    """Threads that share a CPU: other numbers of them, a slower disk, and a back-end that shares
    the CPU, too."""
    places = [
        *((threads, BUILTIN_NULL, "built-in null, serve=poll", False) for threads in (2, 4, 16)),
        (8, BUILTIN_NULL_20_US, "built-in null, serve=poll, latency 20 µs", False),
        (8, BUILTIN_NULL_EVENT, "one shared core, built-in null, serve=event", True),
    ]
    for threads, disk, name, shares_core in places:
        for wait in (EVENT, ADAPTIVE, BUSY):
            yield Comparison(
                f"iodepth {threads}, wait={wait['wait']}, {name}",
                virtio(disk, threads, wait),
                (blocking(disk, threads, wait),),
                shares_core,
                aim=_AIM_OF_THREADS.get(wait["wait"]),
                runtime_s=SHORT_S,
            )


def _library() -> Iterator[Comparison]:
    """As many threads as fio has requests in flight, in the same way of waiting."""
    for name, disk in _DISKS.items():
        for depth in (1, 8):
            for wait in (EVENT, BUSY, sleepy(50), ADAPTIVE):
                aim = 0.9 if depth == 1 else _AIM_OF_THREADS.get(wait["wait"])
                title = f"iodepth {depth}, wait={wait['wait']}, {name}"
                base = virtio(disk, depth, wait)
                yield Comparison(
                    title, base, (blocking(disk, depth, wait),), aim=aim, runtime_s=SHORT_S
                )


def _batches() -> Iterator[Comparison]:
    """The aim of a batch of 32 is 0.9 at iodepth 128; a single operation has none."""
    for depth in (32, 128):
        others = tuple(operations(BUILTIN_NULL, depth, batch) for batch in (0, 32))
        title = f"iodepth {depth}, built-in null, serve=poll"
        yield Comparison(title, bare(BUILTIN_NULL, depth), others, runtime_s=SHORT_S)


def _python() -> Iterator[Comparison]:
    """Ways of a Python program. The default way of waiting is that of most programs."""
    for depth in (1, 32, 128):
        single = python("single", depth, ADAPTIVE, "Operations, as they complete")
        tasks = python("tasks", depth, ADAPTIVE, f"asyncio, {depth} tasks")
        batches = python("batches", depth, ADAPTIVE, "Operations, batches of 32")
        again = python("again", depth, ADAPTIVE, "the same operations again")
        call = python("pread", depth, ADAPTIVE, "Disk.pread()")
        others = (call, tasks) if depth == 1 else (batches, again, tasks)
        title = f"iodepth {depth}, built-in null, serve=poll"
        yield Comparison(title, single, others, runtime_s=SHORT_S)


def _waits() -> Iterator[Comparison]:
    for name, disk in _DISKS.items():
        busy, event = virtio(disk, 1, BUSY), virtio(disk, 1, EVENT)
        yield Comparison(f"iodepth 1, {name}", event, (busy,))
        for depth in (32, 128):
            busy, event = virtio(disk, depth, BUSY), virtio(disk, depth, EVENT)
            yield Comparison(f"iodepth {depth}, {name}", busy, (event,), aim=0.80)


def _rings() -> Iterator[Comparison]:
    """All combinations of the ring's features, with busy and with event."""
    features = [{"indirect": a, "event_idx": b} for a in ("on", "off") for b in ("on", "off")]
    for name, disk in _DISKS.items():
        for wait, depth in ((BUSY, 1), (BUSY, 128), (EVENT, 32)):
            sides = [virtio(disk, depth, {**wait, **chosen}) for chosen in features]
            title = f"iodepth {depth}, wait={wait['wait']}, {name}"
            yield Comparison(title, sides[0], tuple(sides[1:]))


def _backends() -> Iterator[Comparison]:
    for depth in (1, 128):
        daemon = virtio(QSD_NULL, depth, BUSY, "on qemu-storage-daemon null-co")
        builtin = virtio(BUILTIN_NULL, depth, BUSY, "on the built-in back-end, serve=poll")
        yield Comparison(f"iodepth {depth}, wait=busy", daemon, (builtin,))


def _copies() -> Iterator[Comparison]:
    for block_bytes in (4 << 10, 64 << 10):
        # The loop has huge pages alone. Otherwise chance would decide how many the disk gets.
        on_huge_pages = replace(BUILTIN_MEMORY, options=("serve=poll", "populate=huge"))
        read = virtio(on_huge_pages, 32, BUSY)
        ours = replace(read, options={**read.options, "bs": str(block_bytes)})
        title = f"iodepth 32, {block_bytes >> 10} KiB, 256 MiB in memory"
        yield Comparison(title, copy(32, block_bytes), (ours,), aim=0.95, runtime_s=SHORT_S)


def _peers() -> Iterator[Comparison]:
    for depth in (1, 128):
        disk = "256 MiB in memory"
        for engine in ("io_uring", "libaio"):
            ours = virtio(BUILTIN_MEMORY, depth, BUSY)
            yield Comparison(f"iodepth {depth}, {disk}", file(engine, depth), (ours,))
        ours = virtio(QSD_NULL, depth, BUSY)
        yield Comparison(f"iodepth {depth}, qemu-storage-daemon null-co", nbd(depth), (ours,))


def _sleepy() -> Iterator[Comparison]:
    for shares_core in (False, True):
        cores = "one shared core" if shares_core else "separate cores"
        for depth in (1, 8, 32, 128):
            ways = (NAIVE, *map(sleepy, SLEEPS_US))
            others = tuple(virtio(QSD_NULL, depth, way) for way in ways)
            title = f"iodepth {depth}, {cores}, qemu-storage-daemon null-co"
            base = virtio(QSD_NULL, depth, EVENT)
            yield Comparison(title, base, others, shares_core, runtime_s=SHORT_S)


def _files() -> Iterator[Comparison]:
    """A scratch file on a disk, without the page cache and with all of it in the page cache."""
    for is_direct in (True, False):
        direct, cache = ("on", "without") if is_direct else ("off", "in")
        for depth in (1, 32, 128):
            daemon = on_file("qsd", depth, "aio=io_uring", f"cache.direct={direct}")
            ways = ("io_uring", "threads") if is_direct else ("io_uring", "off")
            ours = [on_file("builtin", depth, f"aio={way}", f"direct={direct}") for way in ways]
            title = f"iodepth {depth}, {cache} the page cache"
            yield Comparison(title, daemon, tuple(ours), aim=0.95, runtime_s=SHORT_S)


def _explain() -> Iterator[Comparison]:
    """Both sides take times of one request in 64, as `pyfio-virtio explain` has them do."""
    timed = replace(
        BUILTIN_NULL, options=(*BUILTIN_NULL.options, "explain=64", "explain-file=/dev/null")
    )
    for depth in (1, 32, 128):
        off = virtio(BUILTIN_NULL, depth, BUSY, "without explain")
        asked = {**BUSY, "explain": "64", "stats_file": "/dev/null"}
        title = f"iodepth {depth}, built-in null, serve=poll"
        on = virtio(timed, depth, asked, "explain=64 on both sides")
        yield Comparison(title, off, (on,), runtime_s=SHORT_S)


def _start() -> Iterator[Comparison]:
    ours, base = virtio(QSD_NULL, 128, {"hugepages": "off"}), null(128)
    sides = [
        Side(side.name, {**side.options, "number_ios": "1"}, side.disk) for side in (base, ours)
    ]
    yield Comparison("fio from start to end, number_ios=1", sides[0], (sides[1],), metric="wall_ms")


@dataclass(frozen=True)
class Group:
    """The comparisons that have one name on the command line."""

    about: str
    comparisons: Sequence[Comparison] = field(repr=False)
    # The first sides are peers, so the ratios belong into the table at the page's head.
    has_peers: bool = True
    in_quick: bool = True  # bench/quick.py


GROUPS: Mapping[str, Group] = {
    "null": Group("wait=busy beside fio's null engine", [*_against_null()]),
    "bare": Group("wait=busy beside a bare C loop over the engine's queue", [*_bare()]),
    "library": Group(
        "threads that call device_read() beside fio",
        [*_library(), *_threads()],
        has_peers=False,
        in_quick=False,
    ),
    "batches": Group("operations in batches beside a bare C loop", [*_batches()]),
    "python": Group(
        "a Python program's operations and asyncio", [*_python()], has_peers=False, in_quick=False
    ),
    "waits": Group("wait=busy and wait=event beside each other", [*_waits()], has_peers=False),
    "rings": Group(
        "indirect descriptors and event_idx, on and off",
        [*_rings()],
        has_peers=False,
        in_quick=False,
    ),
    "backends": Group("the built-in null disk beside qemu-storage-daemon's", [*_backends()]),
    "copies": Group(
        "reads from memory beside a loop that copies as much",
        [*_copies()],
        has_peers=False,
        in_quick=False,
    ),
    "peers": Group("beside fio's io_uring, libaio and nbd engines", [*_peers()]),
    "sleepy": Group(
        "sleeps of 5 to 200 µs beside the eventfd", [*_sleepy()], has_peers=False, in_quick=False
    ),
    FILES: Group("a file on the built-in back-end beside qemu-storage-daemon's", [*_files()]),
    "explain": Group(
        "what it costs to take times of one request in 64",
        [*_explain()],
        has_peers=False,
        in_quick=False,
    ),
    "start": Group("how long a run of one I/O takes", [*_start()], has_peers=False, in_quick=False),
}
