# SPDX-License-Identifier: GPL-2.0-or-later
"""What is compared with what: every comparison as data.

Pure. It never starts anything; run.py does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pyfio_virtio.backends.backends import BackendSpec
from pyfio_virtio.sweep.job import DISK_VARIABLE

Options = Mapping[str, str]

# The loops: C files of this folder, without their suffix.
BARE, BLOCKING = "bare_loop", "blocking_loop"

# What a side runs on; fio takes the path from its environment.
DISK = f"${{{DISK_VARIABLE}}}"

DISK_BYTES = 256 << 20
SLEEPS_US = (5, 10, 20, 50, 100, 200)
# What fio itself takes for an I/O, about, as its null engine shows.
FIOS_OWN_NS = 550
# Of each run, where there are many.
SHORT_S = 0.5


@dataclass(frozen=True)
class MemoryFile:
    """A file in /dev/shm, all of its blocks there, for engines of fio's own."""

    size_bytes: int = DISK_BYTES


@dataclass(frozen=True)
class Side:
    """One of those compared: options of fio, and what it runs on."""

    name: str
    options: Options
    disk: BackendSpec | MemoryFile | None = None
    program: str | None = None  # not fio, but a loop in C with the same load: BARE or BLOCKING
    pause_ns: int = 0  # BARE: between an I/O and the next

    @property
    def engine(self) -> str:
        return self.options["ioengine"]


@dataclass(frozen=True)
class Comparison:
    """Sides that take turns; each of the others is set in proportion to the base."""

    title: str
    base: Side
    others: tuple[Side, ...]
    shares_core: bool = False  # fio with its back-end
    metric: str = "iops"  # a field of run.Run
    aim: float | None = None  # the ratio that is wanted, at least
    runtime_s: float = 1.0

    @property
    def full_title(self) -> str:
        """Tells it from all others of its group."""
        return f"{self.title}, beside {self.base.name}"

    @property
    def sides(self) -> tuple[Side, ...]:
        return (self.base, *self.others)


QSD_NULL = BackendSpec(kind="qsd", storage="null")
BUILTIN_NULL = BackendSpec(kind="builtin", storage="null", options=("serve=poll",))
BUILTIN_NULL_EVENT = BackendSpec(kind="builtin", storage="null", options=("serve=event",))
BUILTIN_MEMORY = BackendSpec(
    kind="builtin", storage="memory", size_bytes=DISK_BYTES, options=("serve=poll",)
)
# qemu-storage-daemon 7.2 aborts when an NBD client leaves a node that has an iothread, so that one
# process cannot serve a node both ways as fast as it can: each has a daemon of its own.
QSD_NULL_BY_NBD = BackendSpec(kind="nbd", storage="null")
_DISKS = {"qemu-storage-daemon null-co": QSD_NULL, "built-in null, serve=poll": BUILTIN_NULL}


def load(depth: int, size_bytes: int = DISK_BYTES) -> dict[str, str]:
    """The load of every comparison, whatever the engine."""
    return {
        "rw": "randread",
        "bs": "4k",
        "iodepth": str(depth),
        "thread": "1",
        "size": str(size_bytes),
        # Left to itself, fio takes the slower clock whenever its test at the start finds two CPUs
        # some cycles apart: by chance, and every I/O then takes some 80 ns more.
        "clocksource": "cpu",
    }


def virtio(disk: BackendSpec, depth: int, wait: Options, name: str = "") -> Side:
    """Our engine; wait is its options."""
    engine = {"ioengine": "fio_virtio", "filename": DISK, **wait}
    words = " ".join(f"{key}={value}" for key, value in wait.items())
    return Side(name or f"fio_virtio {words}", {**engine, **load(depth)}, disk)


def null(depth: int) -> Side:
    """fio's engine that does nothing: what fio itself costs."""
    return Side("fio's null engine", {"ioengine": "null", **load(depth)})


def bare(disk: BackendSpec, depth: int, pause_ns: int = 0) -> Side:
    """The engine's queue in a loop of its own: what it does without fio and fio's glue."""
    name = "a bare C loop" + (f", {pause_ns} ns between I/Os" if pause_ns else "")
    return Side(name, {"ioengine": "fio_virtio", **load(depth)}, disk, BARE, pause_ns)


def blocking(disk: BackendSpec, threads: int, wait: Options) -> Side:
    """device_read() by as many threads, on one queue, as programs call it."""
    options = {"ioengine": "fio_virtio", **wait, **load(threads)}
    return Side(f"device_read(), {threads} threads", options, disk, BLOCKING)


def file(engine: str, depth: int) -> Side:
    """An engine of fio's on a file in memory, buffered: tmpfs has no direct I/O."""
    options = {"ioengine": engine, "filename": DISK, **load(depth)}
    return Side(f"fio's {engine}, file in memory", options, MemoryFile())


def nbd(depth: int) -> Side:
    """fio's nbd engine on a node like the one that our engine gets."""
    options = {"ioengine": "nbd", "uri": DISK, **load(depth)}
    return Side("fio's nbd engine", options, QSD_NULL_BY_NBD)


# As a loop around an eventfd has it that asks for calls all the time.
NAIVE = {"wait": "event", "call_suppression": "off"}
EVENT, BUSY, ADAPTIVE = {"wait": "event"}, {"wait": "busy"}, {"wait": "adaptive"}


def sleepy(sleep_us: int) -> Options:
    return {"wait": "sleepy", "sleepy_poll": str(sleep_us)}


def _against_null() -> Iterator[Comparison]:
    for name, disk in _DISKS.items():
        ours = virtio(disk, 128, BUSY)
        yield Comparison(f"iodepth 128, {name}", null(128), (ours,), aim=0.80)


def _bare() -> Iterator[Comparison]:
    """A back-end that falls asleep answers the later, the later the next request comes: so that
    what fio's glue adds is not taken for that, one of the loops is as slow as fio."""
    for name, disk in _DISKS.items():
        for depth, pause_ns in ((1, 0), (1, FIOS_OWN_NS), (128, 0)):
            # p50 of all of the latency, as the loop takes it, not of completion alone.
            ours = virtio(disk, depth, BUSY)
            ours = Side(ours.name, {**ours.options, "lat_percentiles": "1"}, disk)
            yield Comparison(f"iodepth {depth}, {name}", bare(disk, depth, pause_ns), (ours,))


def _library() -> Iterator[Comparison]:
    """As many threads that wait as fio has in flight, in the same way of waiting."""
    for name, disk in _DISKS.items():
        for depth in (1, 8):
            for wait in (EVENT, BUSY, sleepy(50), ADAPTIVE):
                aim = 0.9 if depth == 1 else 0.5 if wait is EVENT else None
                title = f"iodepth {depth}, wait={wait['wait']}, {name}"
                base = virtio(disk, depth, wait)
                yield Comparison(
                    title, base, (blocking(disk, depth, wait),), aim=aim, runtime_s=SHORT_S
                )


def _waits() -> Iterator[Comparison]:
    for name, disk in _DISKS.items():
        busy, event = virtio(disk, 1, BUSY), virtio(disk, 1, EVENT)
        yield Comparison(f"iodepth 1, {name}", event, (busy,))
        for depth in (32, 128):
            busy, event = virtio(disk, depth, BUSY), virtio(disk, depth, EVENT)
            yield Comparison(f"iodepth {depth}, {name}", busy, (event,), aim=0.80)


def _rings() -> Iterator[Comparison]:
    """The ring's features in all combinations, for looking and for waiting."""
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


def _start() -> Iterator[Comparison]:
    ours, base = virtio(QSD_NULL, 128, {"hugepages": "off"}), null(128)
    sides = [
        Side(side.name, {**side.options, "number_ios": "1"}, side.disk) for side in (base, ours)
    ]
    yield Comparison("fio from start to end, number_ios=1", sides[0], (sides[1],), metric="wall_ms")


@dataclass(frozen=True)
class Group:
    """Comparisons that are asked for by one name."""

    about: str
    comparisons: Sequence[Comparison] = field(repr=False)


GROUPS: Mapping[str, Group] = {
    "null": Group("wait=busy beside fio's null engine: what all of it costs", [*_against_null()]),
    "bare": Group("wait=busy beside a bare C loop over the engine's queue", [*_bare()]),
    "library": Group("threads that call device_read() beside fio", [*_library()]),
    "waits": Group("wait=busy and wait=event beside each other", [*_waits()]),
    "rings": Group("indirect descriptors and event_idx, on and off", [*_rings()]),
    "backends": Group("the built-in null disk beside qemu-storage-daemon's", [*_backends()]),
    "peers": Group("beside fio's io_uring, libaio and nbd engines", [*_peers()]),
    "sleepy": Group("sleeps of 5 to 200 µs beside the eventfd", [*_sleepy()]),
    "start": Group("how long a run of one I/O takes", [*_start()]),
}
