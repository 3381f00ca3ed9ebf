# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks whose back-end is killed and comes back: no operation is lost, and none fails."""

import asyncio
import errno
import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import pyfio_virtio
from pyfio_virtio import Disk, DiskError, aio
from pyfio_virtio.aio import AsyncDisk
from pyfio_virtio.backends.spec import BackendSpec
from pyfio_virtio.disk.operation import Operation, Read, Write
from pyfio_virtio.disk.operations import Operations
from tests import waiting
from tests.mortal import Load, Mortal, Region
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


Start = Callable[..., Mortal]


@pytest.fixture
def start(private: Path) -> Iterator[Start]:
    started: list[Mortal] = []

    def begin(storage: str = "builtin") -> Mortal:
        started.append(make(private, storage))
        return started[-1]

    yield begin
    for each in started:
        each.backend.stop()


def make(folder: Path, storage: str) -> Mortal:
    kind, prefix = STORAGES[storage]
    image = folder / "image"
    image.write_bytes(bytes(BLOCK * BLOCKS))
    return Mortal(folder, BackendSpec(kind=kind, storage=f"{prefix}{image}", queues=2))


def new_load() -> Load:
    return Load(Region(0, BLOCK * BLOCKS, BLOCK), WORKERS)


def has_gone_on(load: Load, before: int) -> bool:
    return load.is_over or load.done >= before + BETWEEN


def disturb(load: Load, mortal: Mortal) -> None:
    for _ in range(KILLS):
        waiting.wait_until(
            partial(has_gone_on, load, load.done), "a round of operations", PATIENCE_S
        )
        mortal.restart()
    load.is_over = True


def end_if_failed(load: Load, worker: Future[None]) -> None:
    load.is_over |= worker.done() and worker.exception() is not None


def run_threads(load: Load, mortal: Mortal, work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        workers = [pool.submit(work, worker) for worker in range(WORKERS)]
        for each in workers:
            each.add_done_callback(partial(end_if_failed, load))
        try:
            disturb(load, mortal)
        finally:
            load.is_over = True
        for each in workers:
            each.result(PATIENCE_S)


def expect_all(mortal: Mortal, load: Load, disk: Disk | AsyncDisk) -> None:
    assert load.lost(mortal.image()) == []
    assert disk.reconnects.count == KILLS
    assert 0 < disk.reconnects.longest_away_ns <= disk.reconnects.away_ns


# ---- nothing is lost -----------------------------------------------------------------------------


@every_storage
@pytest.mark.parametrize("wait", ["event", "busy", "adaptive"])
def test_threads_go_on(start: Start, storage: str, wait: str) -> None:
    mortal, load = start(storage), new_load()
    with pyfio_virtio.open(
        mortal.socket, wait=wait, queues=2, reconnect_timeout_s=PATIENCE_S
    ) as disk:

        def work(worker: int) -> None:
            for offset, text in load.writes(worker):
                disk.pwrite(text, offset)
                assert disk.pread(BLOCK, offset) == text

        run_threads(load, mortal, work)
        disk.flush()
        expect_all(mortal, load, disk)


@every_storage
def test_batches_go_on(start: Start, storage: str) -> None:
    mortal, load = start(storage), new_load()
    with pyfio_virtio.open(
        mortal.socket, wait="event", queues=2, reconnect_timeout_s=PATIENCE_S
    ) as disk:

        def work(worker: int) -> None:
            operations, in_flight = disk.operations(), 0
            for offset, text in load.writes(worker):
                operations.submit([Write(text, offset)])
                in_flight += 1
                if in_flight == load.per_worker():
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
    mortal, load = start(storage), new_load()

    async def work(disk: AsyncDisk, worker: int) -> None:
        for offset, text in load.writes(worker):
            await disk.pwrite(text, offset)
            assert await disk.pread(BLOCK, offset) == text

    async def all_work() -> None:
        async with aio.open(mortal.socket, wait="event", reconnect_timeout_s=PATIENCE_S) as disk:
            tasks = [asyncio.create_task(work(disk, worker)) for worker in range(WORKERS)]
            try:
                await asyncio.to_thread(disturb, load, mortal)
            finally:
                load.is_over = True
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)
            await disk.flush()
            expect_all(mortal, load, disk)

    asyncio.run(all_work())


def register_memory(disk: Disk) -> mmap.mmap:
    """The program keeps the memory, and no descriptor of its file."""
    fd = os.memfd_create("test")
    os.truncate(fd, 1 << 20)
    memory = mmap.mmap(fd, 1 << 20)
    disk.register(memory, fd)
    os.close(fd)
    return memory


def test_registered_memory_is_used_again(start: Start) -> None:
    mortal, before = start(), descriptors()
    with pyfio_virtio.open(mortal.socket, reconnect_timeout_s=PATIENCE_S) as disk:
        memory = register_memory(disk)
        mortal.restart()
        memory[:BLOCK] = b"x" * BLOCK
        disk.pwrite(memoryview(memory)[:BLOCK], 0)
        assert disk.reconnects.count == 1
        disk.unregister(memory)
        memory.close()
    assert mortal.image()[:BLOCK] == b"x" * BLOCK
    waiting.wait_until(lambda: descriptors() == before, f"{before} open files")


def test_memory_that_could_not_be_unregistered_while_the_back_end_was_away(start: Start) -> None:
    mortal = start()
    with pyfio_virtio.open(mortal.socket, reconnect_timeout_s=PATIENCE_S) as disk:
        memory = register_memory(disk)
        mortal.kill()
        with pytest.raises(DiskError):
            disk.unregister(memory)
        mortal.start()
        disk.pwrite(memoryview(memory)[:BLOCK], 0)
        disk.unregister(memory)
        memory.close()


# ---- the same disk -------------------------------------------------------------------------------


def test_a_disk_that_lost_its_id_is_another_one(start: Start) -> None:
    mortal = start()
    with pyfio_virtio.open(mortal.socket, reconnect_timeout_s=PATIENCE_S) as disk:
        assert disk.info.id
        mortal.spec = replace(mortal.spec, options=("fault=error:type=identify",))
        mortal.restart()
        with pytest.raises(DiskError, match=r"another disk now: it has no ID instead of"):
            disk.pread(BLOCK, 0)


def test_a_disk_that_does_not_tell_its_id_yet_is_asked_again(start: Start) -> None:
    mortal = start()
    with pyfio_virtio.open(
        mortal.socket, reconnect_timeout_s=PATIENCE_S, connect_timeout_s=0.2
    ) as disk:
        mortal.spec = replace(mortal.spec, options=("fault=lose:type=identify,count=1",))
        mortal.restart()
        assert disk.pread(BLOCK, 0) == bytes(BLOCK)
        assert disk.reconnects.count == 1


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
