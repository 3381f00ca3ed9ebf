# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks whose back-end is killed and comes back: no operation is lost, and none fails."""

import asyncio
import errno
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import pyfio_virtio
from pyfio_virtio import Disk, DiskError, aio
from pyfio_virtio.aio import AsyncDisk
from pyfio_virtio.backends import backends
from pyfio_virtio.disk.operation import Operation, Read, Write
from pyfio_virtio.disk.operations import Operations
from tests import waiting
from tests.open_descriptors import descriptors

BLOCK, BLOCKS, WORKERS = 512, 1024, 8
KILLS = 3
# Operations that are done between two kills.
BETWEEN = 100
# Ample; it only bounds a hang.
PATIENCE_S = 60.0
STORAGES = {
    "qsd": ("qsd", "file:"),
    # It keeps a record of the requests in flight; see docs/reconnecting.md.
    "builtin": ("builtin", "memory:"),
}
every_storage = pytest.mark.parametrize("storage", STORAGES)


class Mortal:
    """A back-end that is killed and started again on the same image."""

    def __init__(self, folder: Path, storage: str, *options: str) -> None:
        kind, prefix = STORAGES[storage]
        self.image = folder / "image"
        self.image.write_bytes(bytes(BLOCK * BLOCKS))
        self._spec = backends.BackendSpec(
            kind=kind, storage=f"{prefix}{self.image}", queues=2, options=options
        )
        self.socket, self._log = str(folder / "sock"), str(folder / "log")
        self.start()

    def start(self) -> None:
        self.backend = backends.start(self._spec, self.socket, self._log)

    def kill(self) -> None:
        waiting.kill(self.backend.process.pid)
        self.backend.stop()

    def restart(self) -> None:
        self.kill()
        self.start()


Start = Callable[..., Mortal]


@pytest.fixture
def start(private: Path) -> Iterator[Start]:
    started: list[Mortal] = []

    def begin(storage: str = "builtin", *options: str) -> Mortal:
        started.append(Mortal(private, storage, *options))
        return started[-1]

    yield begin
    for each in started:
        each.backend.stop()


class Load:
    """Each worker writes its own blocks, and reads them back, until the end."""

    def __init__(self) -> None:
        self.written = [bytes(BLOCK)] * BLOCKS
        self.is_over = False
        self._done = 0
        self._lock = threading.Lock()

    def blocks(self, worker: int) -> Iterator[int]:
        turn = 0
        while not self.is_over:
            block = (worker + WORKERS * turn) % BLOCKS
            self.written[block] = f"{block} {turn}".encode().ljust(BLOCK, b"-")
            yield block
            turn += 1
            with self._lock:
                self._done += 1

    def fail(self, worker: Future[None]) -> None:
        self.is_over |= worker.done() and worker.exception() is not None

    def _did_some_since(self, before: int) -> bool:
        return self.is_over or self._done >= before + BETWEEN

    def disturb(self, mortal: Mortal) -> None:
        for _ in range(KILLS):
            waiting.wait_until(
                partial(self._did_some_since, self._done), "a round of operations", PATIENCE_S
            )
            mortal.restart()
        self.is_over = True


def run_threads(load: Load, mortal: Mortal, work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        workers = [pool.submit(work, worker) for worker in range(WORKERS)]
        for each in workers:
            each.add_done_callback(load.fail)
        try:
            load.disturb(mortal)
        finally:
            load.is_over = True
        for each in workers:
            each.result(PATIENCE_S)


def expect_all(mortal: Mortal, load: Load, disk: Disk | AsyncDisk) -> None:
    assert mortal.image.read_bytes() == b"".join(load.written)
    assert disk.reconnects.count == KILLS
    assert 0 < disk.reconnects.longest_away_ns <= disk.reconnects.away_ns


# ---- nothing is lost -----------------------------------------------------------------------------


@every_storage
@pytest.mark.parametrize("wait", ["event", "busy", "adaptive"])
def test_threads_go_on(start: Start, storage: str, wait: str) -> None:
    mortal, load = start(storage), Load()
    with pyfio_virtio.open(
        mortal.socket, wait=wait, queues=2, reconnect_timeout_s=PATIENCE_S
    ) as disk:

        def work(worker: int) -> None:
            for block in load.blocks(worker):
                disk.pwrite(load.written[block], block * BLOCK)
                assert disk.pread(BLOCK, block * BLOCK) == load.written[block]

        run_threads(load, mortal, work)
        disk.flush()
        expect_all(mortal, load, disk)


@every_storage
def test_batches_go_on(start: Start, storage: str) -> None:
    mortal, load = start(storage), Load()
    with pyfio_virtio.open(
        mortal.socket, wait="event", queues=2, reconnect_timeout_s=PATIENCE_S
    ) as disk:

        def work(worker: int) -> None:
            operations, in_flight = disk.operations(), 0
            for block in load.blocks(worker):
                operations.submit([Write(load.written[block], block * BLOCK)])
                in_flight += 1
                if in_flight == BLOCKS // WORKERS:
                    in_flight -= collect(operations, in_flight)
            collect(operations, in_flight)
            operations.close()

        run_threads(load, mortal, work)
        disk.flush()
        expect_all(mortal, load, disk)


def collect(operations: Operations, count: int) -> int:
    done: list[Operation] = []
    while len(done) < count:
        done += operations.completed(count - len(done))
    for each in done:
        assert each.count == BLOCK
    return len(done)


@every_storage
def test_tasks_go_on(start: Start, storage: str) -> None:
    mortal, load = start(storage), Load()

    async def work(disk: AsyncDisk, worker: int) -> None:
        for block in load.blocks(worker):
            await disk.pwrite(load.written[block], block * BLOCK)
            assert await disk.pread(BLOCK, block * BLOCK) == load.written[block]

    async def all_work() -> None:
        async with aio.open(mortal.socket, wait="event", reconnect_timeout_s=PATIENCE_S) as disk:
            tasks = [asyncio.create_task(work(disk, worker)) for worker in range(WORKERS)]
            try:
                await asyncio.to_thread(load.disturb, mortal)
            finally:
                load.is_over = True
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
            await disk.flush()
            expect_all(mortal, load, disk)

    asyncio.run(all_work())


def test_registered_memory_is_used_again(start: Start) -> None:
    mortal, before = start(), descriptors()
    with pyfio_virtio.open(mortal.socket, reconnect_timeout_s=PATIENCE_S) as disk:
        fd = os.memfd_create("test")
        os.truncate(fd, 1 << 20)
        memory = mmap.mmap(fd, 1 << 20)
        disk.register(memory, fd)
        os.close(fd)
        mortal.restart()
        memory[:BLOCK] = b"x" * BLOCK
        disk.pwrite(memoryview(memory)[:BLOCK], 0)
        assert disk.reconnects.count == 1
        disk.unregister(memory)
        memory.close()
    assert mortal.image.read_bytes()[:BLOCK] == b"x" * BLOCK
    assert descriptors() == before


# ---- time ----------------------------------------------------------------------------------------


def test_time_away_is_no_time_of_an_operation(start: Start) -> None:
    mortal = start()
    with pyfio_virtio.open(
        mortal.socket, reconnect_timeout_s=PATIENCE_S, request_timeout_s=0.2
    ) as disk:
        mortal.kill()
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(disk.pread, BLOCK, 0)
            with pytest.raises(TimeoutError):
                reading.result(0.5)
            mortal.start()
            assert reading.result(PATIENCE_S) == bytes(BLOCK)


def test_an_operation_times_out_after_a_reconnect(start: Start) -> None:
    mortal = start("builtin")
    with pyfio_virtio.open(
        mortal.socket, reconnect_timeout_s=PATIENCE_S, request_timeout_s=0.2
    ) as disk:
        mortal.restart()
        disk.pread(BLOCK, 0)
        waiting.stop(mortal.backend.process.pid)
        with pytest.raises(DiskError) as raised:
            disk.pread(BLOCK, 0)
        waiting.go_on(mortal.backend.process.pid)
    assert raised.value.errno == errno.ETIMEDOUT


def test_a_back_end_that_stays_away_fails_in_words(start: Start) -> None:
    mortal = start()
    with pyfio_virtio.open(mortal.socket, reconnect_timeout_s=0.2) as disk:
        mortal.kill()
        for _ in range(2):
            with pytest.raises(
                DiskError, match=r"was not back within 0\.2 s .*reconnect_"
            ) as raised:
                disk.pread(BLOCK, 0)
            assert raised.value.errno == errno.EIO
            assert mortal.socket in str(raised.value)


def test_by_default_a_lost_back_end_is_not_awaited(start: Start) -> None:
    mortal = start()
    with pyfio_virtio.open(mortal.socket) as disk:
        mortal.restart()
        with pytest.raises(DiskError, match="hung up"):
            disk.pread(BLOCK, 0)
        assert disk.reconnects.count == 0


def test_a_disk_can_be_closed_while_its_back_end_is_away(start: Start) -> None:
    mortal = start()
    disk = pyfio_virtio.open(mortal.socket, reconnect_timeout_s=PATIENCE_S)
    operations, buffer = disk.operations(), bytearray(BLOCK)
    mortal.kill()
    operations.submit([Read(buffer, 0)])
    operations.close()
    disk.close()
