# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks as asyncio's programs use them: disk/async_disk.py and aio.py."""

import asyncio
import errno
import inspect
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

import pyfio_virtio
from pyfio_virtio import Disk, DiskError, aio
from pyfio_virtio.aio import AsyncDisk
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.disk.operation import Operation
from tests.open_descriptors import descriptors
from tests.pyfio_virtio.disks import Kind, Server, open_async_disk, open_disk
from tests.waiting import wait_until

Serve = Callable[..., Backend]
BLOCK = 4096
# Ample; it only bounds a hang.
LIMIT_S = 60.0
NEVER_S = 3600.0


@pytest.fixture
def server(backend: Backend) -> Server:
    return Server(backend)


@pytest.fixture
def slow(serve: Serve) -> Backend:
    """It never answers a request."""
    return Kind("builtin", 512, ("latency=3600s",)).start(serve)


def run(backend: Backend, work: Callable[[AsyncDisk], Any], **options: Any) -> Any:  # noqa: ANN401
    """Runs a coroutine with a disk of its own."""

    async def whole() -> Any:  # noqa: ANN401
        async with open_async_disk(backend, **options) as disk:
            return await work(disk)

    return asyncio.run(asyncio.wait_for(whole(), LIMIT_S))


# ---- the calls -----------------------------------------------------------------------------------


def public(kind: type) -> dict[str, inspect.Signature]:
    functions = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(each) for name, each in functions if name[0] != "_"}


def test_the_calls_are_those_of_a_blocking_disk() -> None:
    """With the same arguments and results; only operations() is for programs without asyncio."""
    blocking = public(Disk)
    for name in ("operations", "buffer_for"):
        del blocking[name]
    assert public(AsyncDisk) == blocking


def test_each_call_that_may_wait_is_a_coroutine_and_none_of_a_blocking_disk_is() -> None:
    assert all(inspect.iscoroutinefunction(getattr(AsyncDisk, name)) for name in public(AsyncDisk))
    assert not any(inspect.iscoroutinefunction(getattr(Disk, name)) for name in public(Disk))


def test_the_options_are_those_of_a_blocking_disk() -> None:
    options = [inspect.signature(each).parameters for each in (aio.open, pyfio_virtio.open)]
    assert options[0] == options[1]


def test_awaiting(backend: Backend) -> None:
    async def work(disk: AsyncDisk) -> None:
        await asyncio.gather(*(disk.pwrite(bytes([i]) * 1000, i * 1000) for i in range(200)))
        read = await asyncio.gather(*(disk.pread(1000, i * 1000) for i in range(200)))
        assert read == [bytes([i]) * 1000 for i in range(200)]
        await disk.flush()

    run(backend, work)


def test_every_call(backend: Backend) -> None:
    async def work(disk: AsyncDisk) -> None:
        assert await disk.pwritev([b"x" * 1000, b"", b"x" * 4000], 0) == 5000
        await disk.write_zeroes(700, 3001)
        first, second = bytearray(700), await disk.alloc(4300)
        assert await disk.preadv([first, second], 0) == 5000
        assert first + bytes(second) == b"x" * 700 + bytes(3001) + b"x" * 1299
        await disk.discard(0, 512)
        await disk.flush()
        assert (disk.size, disk.block_size) == (disk.info.capacity_bytes, 512)
        assert await disk.pread(10, disk.size - 4) == bytes(4)

    run(backend, work)


def test_the_awaits_of_one_turn_of_the_loop_are_one_batch(backend: Backend) -> None:
    sizes: list[int] = []

    async def work(disk: AsyncDisk) -> None:
        begin = disk._operations.begin

        def counted(batch: Sequence[Operation]) -> int:
            sizes.append(len(batch))
            return begin(batch)

        disk._operations.begin = counted  # type: ignore[method-assign]
        await asyncio.gather(*(disk.pwrite(b"x", i) for i in range(40)), disk.flush())

    run(backend, work)
    assert sizes == [41]


@pytest.mark.parametrize("latency", ["0", "2ms"])
def test_one_after_the_other(serve: Serve, latency: str) -> None:
    """Each turn of the loop finds the answer, or the eventfd tells of it."""
    backend = Kind("builtin", 512, (f"latency={latency}",)).start(serve)

    async def work(disk: AsyncDisk) -> None:
        for i in range(60):
            assert await disk.pwrite(bytes([i]) * 10, i * 10) == 10
        assert await disk.pread(600, 0) == b"".join(bytes([i]) * 10 for i in range(60))

    run(backend, work)


def test_a_task_fails_alone(backend: Backend) -> None:
    async def work(disk: AsyncDisk) -> None:
        offsets = [0, disk.size, 1]
        done = await asyncio.gather(
            *(disk.pwrite(b"x", offset) for offset in offsets), return_exceptions=True
        )
        assert (done[0], done[2]) == (1, 1)
        assert isinstance(done[1], DiskError)
        assert done[1].errno == errno.ENOSPC

    run(backend, work)


def test_what_follows_a_refused_operation_keeps_its_buffers(server: Server) -> None:
    first, second = bytearray(b"1" * BLOCK), bytearray(b"2" * BLOCK)

    async def work(disk: AsyncDisk) -> None:
        await disk.pwrite(b"d" * 2 * BLOCK, 0)
        with server.stopped():
            both = asyncio.gather(
                disk.pwrite(b"x", disk.size),
                disk.preadv([first, second], 0),
                return_exceptions=True,
            )
            await asyncio.sleep(0.01)
            for each in (first, second):
                with pytest.raises(BufferError):
                    each.clear()
        refused, count = await both
        assert isinstance(refused, DiskError)
        assert (refused.errno, count) == (errno.ENOSPC, 2 * BLOCK)

    run(server.backend, work)
    assert first == second == b"d" * BLOCK


def test_threads_and_asyncio_at_once(backend: Backend) -> None:
    stop = threading.Event()

    def work(disk: Disk) -> None:
        while not stop.is_set():
            disk.pwrite(b"t" * 10, 1_000_000)

    async def awaited(disk: Disk) -> None:
        own = AsyncDisk(disk)
        for i in range(100):
            await own.pwrite(bytes([i]) * 10, i * 10)

    with open_disk(backend) as disk, ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(work, disk) for _ in range(2)]
        try:
            asyncio.run(awaited(disk))
        finally:
            stop.set()
        for thread in threads:
            thread.result()
        assert disk.pread(1000, 0) == b"".join(bytes([i]) * 10 for i in range(100))


# ---- cancelled, late and failed ------------------------------------------------------------------


def test_a_cancelled_task_ends_at_once(server: Server) -> None:
    """Nothing else would end it: nothing times out, and the back-end is stopped."""

    async def work(disk: AsyncDisk) -> None:
        memories: list[Any] = [await disk.alloc(BLOCK), bytearray(BLOCK)]
        with server.stopped():
            tasks = [asyncio.ensure_future(disk.preadv([each], 0)) for each in memories]
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(disk.pread(BLOCK, 0), 0.01)

    run(server.backend, work, request_timeout_s=NEVER_S)


def test_a_task_that_is_cancelled_before_it_began_writes_nothing(backend: Backend) -> None:
    async def work(disk: AsyncDisk) -> None:
        task = asyncio.ensure_future(disk.pwrite(b"x", 0))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await disk.pread(1, 0) == b"\0"

    run(backend, work)


def test_an_operation_that_takes_too_long_is_a_timeout(server: Server) -> None:
    async def work(disk: AsyncDisk) -> None:
        server.stop()
        with pytest.raises(TimeoutError, match="request_timeout") as late:
            await disk.preadv([await disk.alloc(BLOCK)], 0)
        assert late.value.errno == errno.ETIMEDOUT
        assert isinstance(late.value, DiskError)
        server.go_on()
        # What follows is not disturbed by the late answer.
        assert await disk.pread(BLOCK, 0) == bytes(BLOCK)

    run(server.backend, work, request_timeout_s=0.5)


def test_an_awaited_failure_is_an_oserror(server: Server) -> None:
    async def work(disk: AsyncDisk) -> None:
        await disk.pread(512, 0)
        server.kill()
        with pytest.raises(OSError, match="hung up"):
            await disk.pread(512, 0)

    run(server.backend, work)


# ---- opening and closing -------------------------------------------------------------------------


async def ticks_until(task: "asyncio.Future[Any]") -> int:
    """How often the loop came round before the task was done."""
    ticks = 0
    while not task.done():
        await asyncio.sleep(0.001)
        ticks += 1
    return ticks


def test_opening_leaves_the_event_loop_free(server: Server) -> None:
    async def work() -> None:
        with server.stopped():
            task = asyncio.ensure_future(_open(server.backend))
            assert await ticks_until(task) > 1
            with pytest.raises(TimeoutError):
                await task

    async def _open(backend: Backend) -> AsyncDisk:
        return await open_async_disk(backend, connect_timeout_s=0.2)

    asyncio.run(work())


def test_closing_leaves_the_event_loop_free(server: Server) -> None:
    async def work() -> None:
        disk = await open_async_disk(server.backend, connect_timeout_s=0.2)
        with server.stopped():
            assert await ticks_until(asyncio.ensure_future(disk.close())) > 1

    asyncio.run(work())


def test_nobody_serves_the_socket(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(FileNotFoundError, match="no such socket") as refused:
            await aio.open(tmp_path / "nobody")
        assert isinstance(refused.value, DiskError)

    asyncio.run(work())


def test_tasks_end_when_the_disk_is_closed(server: Server) -> None:
    async def work(disk: AsyncDisk) -> None:
        server.stop()
        calls = (disk.pread(1, 0), disk.pwrite(b"x", 10), disk.flush(), disk.discard(0, BLOCK))
        tasks = [asyncio.ensure_future(each) for each in calls]
        await asyncio.sleep(0.01)
        await disk.close()
        server.go_on()
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(done, DiskError)
            assert (done.errno, "closed" in str(done)) == (errno.ECANCELED, True)
        with pytest.raises(DiskError, match="the disk is closed") as refused:
            await disk.pread(1, 0)
        assert refused.value.errno == errno.EBADF

    run(server.backend, work, request_timeout_s=NEVER_S, connect_timeout_s=0.2)


def test_what_was_done_before_the_close_has_succeeded(backend: Backend) -> None:
    async def work(disk: AsyncDisk) -> None:
        with open_disk(backend) as other:
            task = asyncio.ensure_future(disk.pwrite(b"done", 0))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            while other.pread(4, 0) != b"done":  # in this thread, so the task cannot go on
                pass
        await disk.close()
        assert await task == 4

    run(backend, work)


def test_a_disk_of_another_event_loop_is_refused(backend: Backend) -> None:
    async def opened() -> AsyncDisk:
        return await open_async_disk(backend)

    disk = asyncio.run(opened())
    with pytest.raises(DiskError, match="another event loop opened this disk"):
        asyncio.run(disk.pread(1, 0))
    asyncio.run(disk.close())


def test_a_disk_that_is_closed_keeps_nothing_open(backend: Backend) -> None:
    async def work(disk: AsyncDisk) -> None:
        await disk.flush()

    run(backend, work)
    process = psutil.Process()
    before = descriptors(), process.num_threads()
    for _ in range(5):
        run(backend, work)
    assert descriptors() == before[0]
    # The kernel counts a thread for some time after pthread_join() has returned.
    wait_until(lambda: process.num_threads() <= before[1], "the end of the threads")


def test_a_back_end_that_dies_ends_all_tasks(slow: Backend) -> None:
    async def work(disk: AsyncDisk) -> None:
        tasks = [asyncio.ensure_future(disk.pread(BLOCK, i * BLOCK)) for i in range(100)]
        await asyncio.sleep(0.01)
        os.kill(slow.process.pid, signal.SIGKILL)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert {getattr(each, "errno", None) for each in done} == {errno.EIO}

    run(slow, work, depth=4)
