# SPDX-License-Identifier: GPL-2.0-or-later
"""Every wait has an end, and says why: each way of waiting, whatever becomes of the back-end.

An operation is begun and waited for in a thread of its own; what happens then must end it. Nothing
else could: where a test is not about a time-out, there is none.
"""

import asyncio
import errno
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from pyfio_virtio import Disk, DiskError
from pyfio_virtio.aio import AsyncDisk
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.disk import operation
from pyfio_virtio.disk.operation import Operation
from pyfio_virtio.disk.operations import Operations
from pyfio_virtio.engine import engine
from tests.pyfio_virtio.disks import WAITS, Kind, Server, open_disk

Serve = Callable[..., Backend]
BLOCK = 4096
# Ample; it only bounds a hang.
LIMIT_S = 60.0
# So that most threads wait by then; those that do not must end as well.
SOON_S = 0.03
NEVER_S = 3600.0


@pytest.fixture
def server(serve: Serve) -> Server:
    return Server(Kind("builtin", 512).start(serve))


# ---- what is waited for ------------------------------------------------------------------------


class Read:
    """Into memory that the back-end reaches."""

    def call(self, disk: Disk) -> object:
        return disk.preadv([disk.alloc(BLOCK)], 0)

    def submit(self, disk: Disk, operations: Operations) -> None:
        operations.submit([operation.Read(disk.alloc(BLOCK), 0)])

    async def wait(self, disk: AsyncDisk) -> object:
        return await disk.preadv([await disk.alloc(BLOCK)], 0)


class ReadElsewhere:
    def call(self, disk: Disk) -> object:
        return disk.pread(BLOCK, 0)

    def submit(self, disk: Disk, operations: Operations) -> None:
        operations.submit([operation.Read(bytearray(BLOCK), 0)])

    async def wait(self, disk: AsyncDisk) -> object:
        return await disk.pread(BLOCK, 0)


class WritePart:
    """Of a block, which others write as well."""

    def call(self, disk: Disk) -> object:
        return disk.pwrite(b"part", 10)

    def submit(self, disk: Disk, operations: Operations) -> None:
        operations.submit([operation.Write(b"part", 10)])

    async def wait(self, disk: AsyncDisk) -> object:
        return await disk.pwrite(b"part", 10)


class Flush:
    def call(self, disk: Disk) -> object:
        disk.flush()
        return None

    def submit(self, disk: Disk, operations: Operations) -> None:
        operations.submit([operation.Flush()])

    async def wait(self, disk: AsyncDisk) -> object:
        await disk.flush()
        return None


Work = Read | ReadElsewhere | WritePart | Flush
WORK: tuple[Work, ...] = (Read(), ReadElsewhere(), WritePart(), WritePart(), Flush())

# ---- ways of waiting ---------------------------------------------------------------------------

Way = Callable[[Disk, Work], object]


def in_a_call(disk: Disk, work: Work) -> object:
    return work.call(disk)


def in_a_task(disk: Disk, work: Work) -> object:
    async def wait() -> object:
        return await work.wait(AsyncDisk(disk))

    return asyncio.run(wait())


def submitted(wait: Callable[[Operations], list[Operation]]) -> Way:
    """Submits, waits in this way, and collects."""

    def way(disk: Disk, work: Work) -> object:
        with disk.operations() as operations:
            work.submit(disk, operations)
            (done,) = wait(operations) or operations.look()
            return done.check()

    way.__name__ = wait.__name__
    return way


def for_one(operations: Operations) -> list[Operation]:
    return operations.completed(1)


def for_more_than_there_are(operations: Operations) -> list[Operation]:
    return operations.completed(1000)


def for_a_time(operations: Operations) -> list[Operation]:
    return operations.completed(1, LIMIT_S)


def by_asking_for_none(operations: Operations) -> list[Operation]:
    while not (done := operations.completed(0, 0)):
        pass
    return done


def by_asking_for_one(operations: Operations) -> list[Operation]:
    while not (done := operations.completed(1, 0)):
        pass
    return done


def for_the_eventfd(operations: Operations) -> list[Operation]:
    assert select.select([operations.fd], [], [], LIMIT_S)[0]
    return []


def for_the_eventfd_once(operations: Operations) -> list[Operation]:
    fd = operations.fd
    operations.arm()
    assert select.select([fd], [], [], LIMIT_S)[0]
    return []


def without_asking(operations: Operations) -> list[Operation]:
    """Leaving gives up what is in flight."""
    operations.close()
    return []


WAYS: tuple[Way, ...] = (
    in_a_call,
    in_a_task,
    *map(
        submitted,
        (
            for_one,
            for_more_than_there_are,
            for_a_time,
            by_asking_for_none,
            by_asking_for_one,
            for_the_eventfd,
            for_the_eventfd_once,
            without_asking,
        ),
    ),
)
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


# ---- the matrix --------------------------------------------------------------------------------


def outcome(call: Callable[[], object]) -> int:
    """The errno, or 0; -1 if the error does not say why."""
    try:
        call()
    except OSError as error:  # of the disk, or of an eventfd that was closed with it
        return (error.errno or 0) if str(error) else -1
    return 0


@contextmanager
def waiting(disk: Disk, way: Way) -> Iterator[list[Future[int]]]:
    """A thread for each piece of work; all must have ended by the end of the test."""
    with ThreadPoolExecutor(len(WORK)) as pool:
        yield [pool.submit(outcome, partial(way, disk, work)) for work in WORK]


def endings(waits: list[Future[int]]) -> set[int]:
    return {wait.result(LIMIT_S) for wait in waits}


@every_way
def test_a_back_end_that_is_dead(server: Server, way: Way) -> None:
    with open_disk(server.backend, request_timeout_s=NEVER_S) as disk:
        server.kill()
        with waiting(disk, way) as waits:
            left_at_once = {errno.EBADF} if way.__name__ == "without_asking" else {errno.EIO}
            assert endings(waits) == left_at_once


@every_way
def test_a_back_end_that_dies(server: Server, way: Way) -> None:
    with open_disk(server.backend, request_timeout_s=NEVER_S) as disk:
        server.stop()
        with waiting(disk, way) as waits:
            time.sleep(SOON_S)
            server.kill()
            assert endings(waits) <= {errno.EIO, errno.EBADF}


@every_way
def test_a_back_end_that_hangs(server: Server, way: Way) -> None:
    with (
        open_disk(server.backend, request_timeout_s=0.2) as disk,
        server.stopped(),
        waiting(disk, way) as waits,
    ):
        assert endings(waits) <= {errno.ETIMEDOUT, errno.EBADF}


@every_way
def test_a_disk_that_is_closed(server: Server, way: Way) -> None:
    disk = open_disk(server.backend, request_timeout_s=NEVER_S)
    shared = disk.alloc(BLOCK)
    disk.close()
    with waiting(disk, way) as waits:
        assert endings(waits) == {errno.EBADF}
    assert len(shared) == BLOCK


@every_way
def test_a_disk_that_another_thread_closes(server: Server, way: Way) -> None:
    disk = open_disk(server.backend, request_timeout_s=NEVER_S)
    with server.stopped(), waiting(disk, way) as waits:
        time.sleep(SOON_S)
        disk.close()
        assert endings(waits) <= {errno.ECANCELED, errno.EBADF}


@every_way
def test_a_disk_that_another_thread_closes_while_all_is_well(server: Server, way: Way) -> None:
    disk = open_disk(server.backend, request_timeout_s=NEVER_S)

    def work_on(work: Work) -> int:
        while not (code := outcome(partial(way, disk, work))):
            pass
        return code

    with ThreadPoolExecutor(len(WORK)) as pool:
        waits = [pool.submit(work_on, work) for work in WORK]
        time.sleep(SOON_S)
        disk.close()
        assert endings(waits) <= {errno.ECANCELED, errno.EBADF}


WAYS_TO_COLLECT: Mapping[str, Callable[[Operations], object]] = {
    "completed": lambda operations: operations.completed(1),
    "many": lambda operations: operations.completed(1000),
    "a time": lambda operations: operations.completed(1, NEVER_S),
}


@pytest.mark.parametrize("wait", WAYS_TO_COLLECT.values(), ids=WAYS_TO_COLLECT.keys())
def test_operations_that_another_thread_closes(
    server: Server, wait: Callable[[Operations], object]
) -> None:
    with open_disk(server.backend, request_timeout_s=NEVER_S) as disk:
        operations = disk.operations()
        with server.stopped(), ThreadPoolExecutor(3) as pool:
            operations.submit([operation.Read(disk.alloc(BLOCK), 0)])
            waits = [pool.submit(outcome, lambda: wait(operations)) for _ in range(3)]
            time.sleep(SOON_S)
            operations.close()
            assert endings(waits) <= {errno.ECANCELED, errno.EBADF}


@pytest.mark.parametrize("name", ["disk", "operations"])
def test_the_eventfd_is_readable_when_it_is_closed(server: Server, name: str) -> None:
    """Whoever waits for it has nothing in flight, and would wait for ever."""
    disk = open_disk(server.backend)
    operations = disk.operations()
    fd = operations.fd
    with ThreadPoolExecutor(1) as pool:
        selected = pool.submit(lambda: select.select([fd], [], [], LIMIT_S))
        time.sleep(SOON_S)
        closed = {"disk": disk.close, "operations": operations.close}
        closed[name]()
        assert selected.result()[0] == [fd]
    disk.close()


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("way", [in_a_call, submitted(for_one)], ids=["a call", "operations"])
def test_every_way_of_polling_ends_when_the_disk_is_closed(
    server: Server, way: Way, wait: str
) -> None:
    disk = open_disk(server.backend, wait=wait, request_timeout_s=NEVER_S)
    with server.stopped(), waiting(disk, way) as waits:
        time.sleep(SOON_S)
        disk.close()
        assert endings(waits) <= {errno.ECANCELED, errno.EBADF}


# ---- in C ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("minimum", [0, 1, 7])
@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("is_dead", [True, False])
def test_a_program_that_asks_again_and_again(
    server: Server, minimum: int, is_shared: bool, is_dead: bool
) -> None:
    """while (!async_completed(a, minimum, 0));"""
    ffi, lib = engine.library().ffi, engine.library().lib
    with open_disk(server.backend, request_timeout_s=NEVER_S if is_dead else 0.1) as disk:
        device = disk._session.device
        handle = ffi.new("struct async **")
        assert lib.async_open(handle, device) == 0
        size = 100 if not is_shared else BLOCK
        room: Any = disk.alloc(size) if is_shared else bytearray(size)
        pointer = ffi.from_buffer(room)
        op = ffi.new("struct operation *", {"buffer": pointer, "size_bytes": size})
        server.stop()
        assert lib.async_submit(handle[0], op) == 0
        if is_dead:
            server.kill()
        until = time.monotonic() + LIMIT_S
        while not (count := lib.async_completed(handle[0], minimum, 0)):
            assert time.monotonic() < until
        lib.async_close(handle[0])
        assert count == (1 if is_dead or not is_shared else -errno.ETIMEDOUT)
        if not is_dead:
            server.go_on()
        ffi.release(pointer)


# ---- closing from within a call ------------------------------------------------------------------


def test_a_signal_handler_may_close_the_disk(server: Server) -> None:
    """It runs between any two steps of the call that it interrupts."""
    for number in range(60):
        disk = open_disk(server.backend)
        previous = signal.signal(signal.SIGALRM, lambda *_, disk=disk: disk.close())
        signal.setitimer(signal.ITIMER_REAL, 0.001 + number * 0.0001)
        try:
            while not (code := outcome(partial(disk.pread, 1, 0))):
                pass
            assert code in (errno.EBADF, errno.ECANCELED)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


def test_buffers_may_close_the_disk(server: Server) -> None:
    disk = open_disk(server.backend)

    def buffers() -> Iterator[bytearray]:
        yield bytearray(1)
        disk.close()
        yield bytearray(1)

    with pytest.raises(DiskError, match="the disk is closed"):
        disk.preadv(buffers(), 0)


def test_two_threads_may_close_the_disk(server: Server) -> None:
    disk = open_disk(server.backend, request_timeout_s=NEVER_S)
    with server.stopped(), waiting(disk, in_a_call) as waits, ThreadPoolExecutor(2) as pool:
        time.sleep(SOON_S)
        for done in [pool.submit(disk.close) for _ in range(2)]:
            done.result(LIMIT_S)
        endings(waits)


# ---- queues --------------------------------------------------------------------------------------


@pytest.mark.parametrize("queues", [1, 2, 4])
def test_an_operation_that_nobody_collects_holds_up_no_other(serve: Serve, queues: int) -> None:
    """Two parts of one block: the second waits for the first, also when that is another's."""
    backend = Kind("builtin", 512).start(serve, queues=queues)
    with open_disk(backend, queues=queues, request_timeout_s=NEVER_S) as disk:
        sets = [disk.operations() for _ in range(4)]
        for number, operations in enumerate(sets):
            operations.submit([operation.Write(bytes([number]), number)])
        assert len(sets[-1].completed(1, LIMIT_S)) == 1
        assert disk.pread(4, 0) == bytes(range(4))


# ---- one that is stuck among others -------------------------------------------------------------


@pytest.fixture
def losing(serve: Serve) -> Iterator[Disk]:
    """A disk whose first 4 KiB are never read, and that is slow."""
    options = ("latency=20ms", "fault=lose:type=read,sectors=0-7")
    backend = serve("builtin", size_bytes=1 << 30, options=options)
    with open_disk(backend, request_timeout_s=0.1) as disk:
        yield disk


def test_a_stuck_operation_ends_while_a_long_one_goes_on(losing: Disk) -> None:
    """And while others complete all the time."""
    with losing.operations() as operations:
        long = operation.Read(bytearray(64 << 20), BLOCK, key="long")
        operations.submit([long, operation.Read(bytearray(BLOCK), 0, key="stuck")])
        ended: list[object] = []
        while "stuck" not in ended:
            operations.submit([operation.Read(bytearray(512), BLOCK, key="short")])
            for done in operations.completed(1):
                assert (done.error is None) == (done.key != "stuck")
                ended.append(done.key)
        assert "long" not in ended


def test_a_stuck_call_ends_while_a_long_one_goes_on(losing: Disk) -> None:
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(losing.pread, 64 << 20, BLOCK)
        with pytest.raises(DiskError, match="did not complete a read of 512 bytes at 0"):
            losing.pread(512, 0)
        assert not long.done()
        losing.close()
