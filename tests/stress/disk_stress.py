# SPDX-License-Identifier: GPL-2.0-or-later
"""A long, random use of the library, while the back-end is as bad as it can be.

    make stress SECONDS=60 SEED=1

Eight threads, and tasks of asyncio in another one, read and write. They cancel operations, free
their buffers at once and fill others. The back-end answers late, out of order or never, and is
killed; then another one is started. shadow.py shows whether a byte changed that nobody asked to
change. A seed draws the same back-ends and the same calls, but threads make them interleave
differently. It ends with a traceback of each thread if something hangs.
"""

import argparse
import asyncio
import errno
import faulthandler
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyfio_virtio
from pyfio_virtio import Read, Write, aio
from pyfio_virtio.backends import backends
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.disk.operations import Operations
from pyfio_virtio.errors import DiskError
from tests.stress.shadow import Alloc, Buffer, Place, Shadow

NUM_THREADS = NUM_TASKS = 8
# Of the places of each thread and task.
SIZES = (100, 100, 512, 700, 4096, 4096, 5000, 70_000)
# Tasks use another connection, so they may not share blocks with the threads.
TASKS_BEGIN = 4 << 20
DISK_BYTES = 8 << 20
# How a back-end behaves; {} is a small number.
MOODS = (
    (),
    ("latency=1ms",),
    ("fault=delay:for=20ms,every={}",),
    ("fault=reorder:for=5ms,every={}",),
    ("fault=lose:every={}0",),
    ("fault=error:every={}",),
    ("fault=reorder:for=5ms,every={}", "fault=lose:every={}0"),
)
# What a call may fail with. EIO: the back-end was killed, or it answered with an error. EBADF: the
# disk was closed.
EXPECTED = {errno.ETIMEDOUT, errno.EIO, errno.ECANCELED, errno.EBADF}
# Ample; it only bounds a hang.
HANG_S = 60.0


class HangError(AssertionError):
    """A call did not return."""


@dataclass(eq=False)
class Era:
    """The life of one back-end and of the disks on it."""

    seed: int
    disk: pyfio_virtio.Disk
    socket: str
    is_over: threading.Event = field(default_factory=threading.Event)
    failures: list[BaseException] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, error: BaseException | None) -> None:
        """Counts how calls end, and keeps what must not happen."""
        with self.lock:
            code = error.errno if isinstance(error, DiskError) else None
            self.counts[errno.errorcode.get(code or 0, "ok")] += 1
            if error is not None and code not in EXPECTED:
                self.failures.append(error)
                self.is_over.set()


def places(start: int, number: int) -> list[Place]:
    """Of one thread or task of eight. They lie side by side, so that all share blocks."""
    found = []
    for size in SIZES:
        found.append(Place(start + number * size, size))
        start += NUM_THREADS * size
    return found


# ---- threads -----------------------------------------------------------------------------------


@dataclass(eq=False)
class InFlight:
    place: Place
    buffer: Buffer
    expected: set[int] | None  # of a read; None: a write


class Thread:
    """One thread's calls until the era is over."""

    def __init__(self, era: Era, number: int) -> None:
        self._era = era
        self._draw = random.Random(f"{era.seed} thread {number}")
        self._shadow = Shadow(self._draw, era.disk.alloc)
        self._places = places(0, number)
        self._in_flight: dict[int, Read | Write] = {}  # the key of each is an InFlight
        self._operations: Operations | None = None

    def run(self) -> None:
        calls = [self.read, self.write, self.change, self.flush, self.submit, self.submit]
        calls += [self.cancel, self.collect, self.leave, self._shadow.check]
        while not self._era.is_over.is_set():
            try:
                self._draw.choice(calls)()
            except BaseException as error:
                self._era.note(error)
            else:
                self._era.note(None)
        with suppress(DiskError):
            self.leave()
        self._shadow.check()

    def _begin(self, is_write: bool) -> InFlight:
        place = self._draw.choice(self._places)
        buffer = self._shadow.take(place.size)
        if not is_write:
            return InFlight(place, buffer, place.begin_read())
        place.begin(buffer.value)
        return InFlight(place, buffer, None)

    def _end(self, one: InFlight, failed: bool) -> None:
        if one.expected is not None:
            one.place.end_read(one.expected, None if failed else one.buffer.part)
        elif not failed:
            one.place.succeeded()
        if failed:
            self._shadow.give_up(one.buffer)
            return
        if one.expected is None:
            one.buffer.check()
        else:
            one.buffer.check_margins()
        self._shadow.give(one.buffer)

    def read(self) -> None:
        one = self._begin(is_write=False)
        self._wait_for(one, lambda: self._era.disk.preadv([one.buffer.part], one.place.offset))

    def write(self) -> None:
        one = self._begin(is_write=True)
        self._wait_for(one, lambda: self._era.disk.pwrite(one.buffer.part, one.place.offset))

    def _wait_for(self, one: InFlight, call: Callable[[], int]) -> None:
        try:
            call()
        except DiskError:
            self._end(one, failed=True)
            raise
        self._end(one, failed=False)

    def change(self) -> None:
        """Zeroes, or a discard, after which the device may return anything that was there."""
        place, disk = self._draw.choice(self._places), self._era.disk
        place.begin(0)
        if self._draw.random() < 0.5:
            disk.write_zeroes(place.offset, place.size)
            place.succeeded()
        else:
            disk.discard(place.offset, place.size)

    def flush(self) -> None:
        self._era.disk.flush()

    # ---- operations ----------------------------------------------------------------------------

    def submit(self) -> None:
        if self._operations is None:
            self._operations = self._era.disk.operations()
        batch: list[Read | Write] = []
        for _ in range(self._draw.randrange(1, 8)):
            one = self._begin(is_write=self._draw.random() < 0.5)
            kind = Write if one.expected is None else Read
            batch.append(kind(one.buffer.part, one.place.offset, one))
        try:
            self._operations.submit(batch)
        finally:
            for each in batch:
                if each.is_in_flight:
                    self._in_flight[id(each)] = each
                else:
                    self._end(each.key, failed=True)

    def cancel(self) -> None:
        if self._operations is not None and self._in_flight:
            self._operations.cancel(self._draw.choice(list(self._in_flight.values())))

    def collect(self) -> None:
        if self._operations is None:
            return
        with suppress(TimeoutError):  # all in flight are overdue
            for done in self._operations.completed(self._draw.randrange(4), timeout_s=0.05):
                del self._in_flight[id(done)]
                self._end(done.key, failed=done.error is not None)
                self._era.note(done.error)

    def leave(self) -> None:
        """Closes the operations with what is in flight, and uses their memory at once."""
        if self._operations is None:
            return
        self._operations.close()
        self._operations = None
        while self._in_flight:
            self._end(self._in_flight.popitem()[1].key, failed=True)


# ---- asyncio -----------------------------------------------------------------------------------


class Task:
    """One task's calls until the era is over; some are cancelled."""

    def __init__(self, era: Era, disk: aio.AsyncDisk, alloc: Alloc, number: int) -> None:
        self._era, self._disk = era, disk
        self._draw = random.Random(f"{era.seed} task {number}")
        self._shadow = Shadow(self._draw, alloc)
        self._places = places(TASKS_BEGIN, number)

    async def run(self) -> None:
        while not self._era.is_over.is_set():
            try:
                await self._call()
                self._shadow.check()
            except TimeoutError:
                self._era.note(DiskError(errno.ETIMEDOUT, "cancelled"))
            except BaseException as error:
                self._era.note(error)
                await asyncio.sleep(0.001)  # a closed disk fails at once
            else:
                self._era.note(None)
        self._shadow.check()

    async def _call(self) -> None:
        place = self._draw.choice(self._places)
        buffer = self._shadow.take(place.size)
        try:
            if self._draw.random() < 0.5:
                place.begin(buffer.value)
                await self._limited(self._disk.pwrite(buffer.part, place.offset))
                place.succeeded()
                buffer.check()
            else:
                await self._read(buffer, place)
        except BaseException:
            self._shadow.give_up(buffer)
            raise
        self._shadow.give(buffer)

    async def _read(self, buffer: Buffer, place: Place) -> None:
        expected, data = place.begin_read(), None
        try:
            await self._limited(self._disk.preadv([buffer.part], place.offset))
            data = buffer.part
        finally:
            place.end_read(expected, data)
        buffer.check_margins()

    async def _limited(self, call: Coroutine[None, None, int]) -> int:
        limit_s = self._draw.choice((0.001, 0.01, 10.0))
        return await asyncio.wait_for(call, limit_s)


async def run_tasks(era: Era) -> None:
    with pyfio_virtio.open(era.socket, request_timeout_s=0.2) as blocking:
        disk = aio.AsyncDisk(blocking)
        tasks = [Task(era, disk, blocking.alloc, i) for i in range(NUM_TASKS)]
        await asyncio.gather(*(task.run() for task in tasks))
        await disk.close()


def run_loop(era: Era) -> None:
    with suppress(DiskError):  # the back-end was killed before this disk was opened
        asyncio.run(run_tasks(era))


# ---- eras --------------------------------------------------------------------------------------


def start_backend(draw: random.Random, folder: Path) -> backends.Backend:
    options = tuple(option.format(draw.randrange(1, 30)) for option in draw.choice(MOODS))
    spec = BackendSpec(
        size_bytes=DISK_BYTES,
        block_size=draw.choice((512, 4096)),
        queues=draw.choice((1, 2)),
        options=options,
    )
    return backends.start(spec, str(folder / "disk.sock"), str(folder / "disk.log"))


def run_era(draw: random.Random, folder: Path, seconds: float) -> Counter[str]:
    """Starts a back-end, uses it for a time, and ends it in one of several ways."""
    backend = start_backend(draw, folder)
    try:
        disk = pyfio_virtio.open(
            backend.socket,
            wait=draw.choice(("event", "adaptive", "sleepy", "busy")),
            queues=backend.spec.queues,
            depth=draw.choice((8, 128)),
            request_timeout_s=0.2,
        )
        era = Era(draw.randrange(1 << 32), disk, backend.socket)
        threads = [Thread(era, i).run for i in range(NUM_THREADS)]
        threads.append(partial(run_loop, era))
        ending = draw.choice(("order", "kill", "close"))
        run_all(era, threads, partial(end_era, era, backend, seconds, ending))
    finally:
        backend.stop()
    if era.failures:
        era.failures[0].add_note(f"with {backend.spec.describe()}{backend.spec.details()}")
        raise era.failures[0]
    return era.counts


def end_era(era: Era, backend: backends.Backend, seconds: float, ending: str) -> None:
    """The threads notice by themselves, or by failures, that it is over."""
    era.is_over.wait(seconds)
    if ending == "kill":
        backend.process.end(0)
        era.is_over.wait(0.05)
    elif ending == "close":
        era.disk.close()
        era.is_over.wait(0.05)
    era.is_over.set()


def run_all(era: Era, calls: list[Callable[[], None]], end: Callable[[], None]) -> None:
    threads = [threading.Thread(target=noting(era, call), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    end()
    deadline = time.monotonic() + HANG_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        faulthandler.dump_traceback(all_threads=True)
        raise HangError(f"a call did not return within {HANG_S} s")
    era.disk.close()


def noting(era: Era, call: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            call()
        except BaseException as error:
            era.note(error)

    return run


def stress(seconds: float, seed: int) -> Counter[str]:
    """How many calls ended in which way. Raises what must not happen."""
    draw = random.Random(seed)
    until = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="pv-") as folder:
        while (left := until - time.monotonic()) > 0:
            try:
                counts += run_era(draw, Path(folder), min(left, draw.uniform(0.5, 3)))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
            counts["back-ends"] += 1
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description="Use the library at random, on bad back-ends.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    chosen = parser.parse_args()
    print(f"stress: seed {chosen.seed}", flush=True)
    try:
        counts = stress(chosen.seconds, chosen.seed)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # threads that hang would keep the process alive
    print("stress:", ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
