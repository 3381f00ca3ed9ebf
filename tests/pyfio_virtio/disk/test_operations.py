# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations in batches: disk/operations.py and operation.py."""

import copy
import errno
import gc
import os
import pickle
import sys
import threading
import weakref
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from pyfio_virtio import Discard, Disk, DiskError, Flush, Read, Write, WriteZeroes
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.disk.operation import Operation
from pyfio_virtio.disk.operations import ROOM
from pyfio_virtio.engine import engine
from tests.pyfio_virtio.disks import Kind, Server, open_disk

Serve = Callable[..., Backend]
BLOCK = 4096


@pytest.fixture
def disk(backend: Backend) -> Iterator[Disk]:
    with open_disk(backend, request_timeout_s=3600) as opened:
        yield opened


def test_a_batch_of_every_kind(disk: Disk) -> None:
    data, found = b"d" * BLOCK, bytearray(BLOCK)
    with disk.operations() as operations:
        batch: list[Operation] = [
            Write(data, 0, key="write", fua=True),
            WriteZeroes(BLOCK, 512, fua=True),
            Flush(),
            Discard(2 * BLOCK, BLOCK),
            Read(found, 0, barrier=True),
        ]
        operations.submit(batch)
        done = operations.completed(len(batch))
        assert set(map(id, done)) == set(map(id, batch))
        assert [each.check() for each in batch] == [BLOCK, 0, 0, 0, BLOCK]
        assert batch[0].key == "write"
    assert found == data


def test_flags_reach_the_engine() -> None:
    lib = engine.library().lib
    assert Write(b"x", 0, fua=True).struct.flags == lib.OPERATION_FUA
    assert Flush(barrier=True).struct.flags == lib.OPERATION_BARRIER
    both = lib.OPERATION_FUA | lib.OPERATION_BARRIER
    assert WriteZeroes(0, 1, fua=True, barrier=True).struct.flags == both


def test_parts_are_moved_in_turn(disk: Disk) -> None:
    shared = disk.alloc(BLOCK)
    shared[:] = b"s" * BLOCK
    first, second, numbers = bytearray(5), disk.alloc(BLOCK), array("i", [0, 0])
    with disk.operations() as operations:
        operations.submit([Write([b"first", b"", shared, b"numbers!"], 100)])
        assert operations.completed(1)[0].check() == BLOCK + 13
        operations.submit([Read((first, second, numbers), 100)])
        assert operations.completed(1)[0].check() == BLOCK + 13
    found = [bytes(first), bytes(second), numbers.tobytes()]
    assert found == [b"first", bytes(shared), b"numbers!"]


def test_a_batch_may_be_of_any_length(disk: Disk) -> None:
    count = 2 * ROOM + 1
    with disk.operations() as operations:
        operations.submit([])
        assert operations.completed(1) == []
        operations.submit(Write(bytes([i % 251]), i) for i in range(count))
        assert len(operations.completed(count)) == count
    assert disk.pread(count, 0) == bytes(i % 251 for i in range(count))


def test_an_operation_is_submitted_again(disk: Disk) -> None:
    write = Write(b"again", 0)
    with disk.operations() as operations:
        for offset in (0, 512, 1000):
            write.offset = offset
            operations.submit([write])
            assert operations.completed(1) == [write]
            assert (write.check(), write.offset) == (5, offset)
        write.offset = disk.size
        with pytest.raises(DiskError, match="beyond the end"):
            operations.submit([write])
        write.offset = 0
        operations.submit([write])
        assert operations.completed(1)[0].check() == 5


def test_what_follows_a_refused_operation_does_not_begin(disk: Disk) -> None:
    good, bad, after = Write(b"good", 0), Write(b"bad", disk.size), Write(b"after", 512)
    with disk.operations() as operations:
        with pytest.raises(DiskError, match="begins at or beyond the end") as refused:
            operations.submit([good, bad, after])
        assert (refused.value.errno, bad.error) == (errno.ENOSPC, refused.value)
        assert [each.is_in_flight for each in (good, bad, after)] == [True, False, False]
        assert operations.completed(3) == [good]
        operations.submit([after])
        assert operations.completed(1) == [after]


def test_each_failure_has_its_own_sentence(serve: Serve) -> None:
    backend = Kind("builtin", 512, ("latency=3600s",)).start(serve)
    with open_disk(backend) as disk, disk.operations() as operations:
        batch = [Read(bytearray(512), i * 512) for i in range(3)]
        operations.submit(batch)
        for each in batch:
            operations.cancel(each)
        done = operations.completed(3)
        assert len(done) == 3
        for each in batch:
            assert f"a read of 512 bytes at {each.offset} was cancelled" in str(each.error)


@pytest.mark.parametrize("other", [False, True], ids=["the same set", "another set"])
def test_an_operation_in_flight_is_not_submitted_again(
    backend: Backend, disk: Disk, other: bool
) -> None:
    server = Server(backend)
    late, free = Read(disk.alloc(BLOCK), 0), Read(disk.alloc(BLOCK), 0)
    with disk.operations() as operations, disk.operations() as others:
        with server.stopped():
            operations.submit([late])
            for batch in ([late], [free, late], [free, free]):
                with pytest.raises(DiskError, match="in flight: collect it first") as refused:
                    (others if other else operations).submit(batch)
                assert refused.value.errno == errno.EBUSY
                assert not free.is_in_flight
            with pytest.raises(DiskError, match="in flight"):
                late.offset = 5
        assert operations.completed(1) == [late]
        operations.submit([late, free])
        assert len(operations.completed(2)) == 2


def test_threads_that_submit_one_operation_submit_it_once(disk: Disk) -> None:
    with disk.operations() as operations, ThreadPoolExecutor(4) as pool:
        for _ in range(50):
            write = Write(b"x", 0)

            def submit(write: Write = write) -> int:
                try:
                    operations.submit([write])
                except DiskError as error:
                    return error.errno or 0
                return 0

            codes = [each.result() for each in [pool.submit(submit) for _ in range(4)]]
            assert sorted(codes) == [0, *[errno.EBUSY] * 3]
            assert operations.completed(1) == [write]


def test_what_stands_for_something_in_c_cannot_be_copied(disk: Disk) -> None:
    """The copy would have the same structure, or would close what the original uses."""
    for each in (Read(bytearray(1), 0), Flush(), disk, disk.operations()):
        for way in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be copied or pickled: make another one"):
                way(each)


def interrupted_after(steps: int) -> Callable[[FrameType, str, Any], None]:
    """Raises what ^C raises, after so many calls of C in the code that collects."""
    left = iter(range(steps))

    def profile(frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401
        is_there = frame.f_code.co_name in ("_collect", "_collect_some")
        if is_there and event == "c_return" and next(left, None) is None:
            raise KeyboardInterrupt

    return profile


def test_an_interrupt_leaves_nothing_that_was_collected_in_flight(disk: Disk) -> None:
    interrupts = 0
    with disk.operations() as operations:
        for steps in range(30):
            operations.submit([Flush(), Flush()])
            sys.setprofile(interrupted_after(steps))
            try:
                operations.completed(2)
            except KeyboardInterrupt:
                interrupts += 1
            finally:
                sys.setprofile(None)
            operations.completed(2)
            assert len(operations) == 0
    assert interrupts > 1


class Memory(bytearray):
    """That can have weak references."""


def test_each_operation_is_late_and_is_collected_if_threads_do_both_at_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread collects what became overdue, at the step between the engine's call and Python's."""
    server, late = Server(backend), Read(bytearray(0), 0)
    collected: list[Operation] = []
    library = engine.library()

    def collect() -> None:
        while not collected:
            collected.extend(operations.completed(1, timeout_s=60))

    collector = threading.Thread(target=collect)

    def get_overdue(handle: Any) -> Any:  # noqa: ANN401
        found = library.lib.async_get_overdue(handle)
        if found:
            server.go_on()
            collector.start()
            collector.join(0.2)  # the collector waits for this thread, so it does not end
        return found

    with open_disk(backend, request_timeout_s=0.05) as disk, disk.operations() as operations:
        late.buffer = disk.alloc(BLOCK)
        server.stop()
        operations.submit([late])
        with pytest.raises(TimeoutError):
            operations.completed(1)
        lib = Spied(library.lib, get_overdue)
        spied = SimpleNamespace(ffi=library.ffi, lib=lib)
        monkeypatch.setattr(engine, "library", lambda: spied)
        assert operations.overdue() == [late]
        collector.join()
    assert collected == [late]


class Spied:
    """The engine, with another function to get what is overdue."""

    def __init__(self, lib: Any, get_overdue: Callable[[Any], Any]) -> None:  # noqa: ANN401
        self._lib, self.async_get_overdue = lib, get_overdue

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._lib, name)


def test_a_buffer_lives_until_its_operation_is_collected(backend: Backend, disk: Disk) -> None:
    server = Server(backend)
    memory = Memory(BLOCK)
    gone = weakref.ref(memory)
    with disk.operations() as operations:
        with server.stopped():
            operations.submit([Read([memory], 0)])
            del memory
            assert gone() is not None
        operations.completed(1)
        assert gone() is None


def test_a_cycle_with_a_pointer_into_a_memoryview_is_collected(disk: Disk) -> None:
    """Python crashes if it clears the memoryview before the pointer."""
    for _ in range(20):
        for call in (disk.pwritev, disk.preadv):
            memory = disk.alloc(BLOCK)
            with pytest.raises(DiskError) as refused:
                call([memory], 1 << 63)
            cycle: list[object] = [memory, refused.value]
            cycle.append(cycle)
        operations = disk.operations()
        operations.submit([Read(disk.alloc(BLOCK), 0, key=operations)])
        bad = Write(disk.alloc(BLOCK), disk.size)
        with pytest.raises(DiskError) as refused:
            operations.submit([bad])
        bad.key = [bad, refused.value]
        del operations, bad, refused, memory, cycle
        gc.collect()


def test_closing_gives_up_what_is_in_flight(backend: Backend, disk: Disk) -> None:
    late = Read(bytearray(BLOCK), 0)
    with Server(backend).stopped():
        operations = disk.operations()
        operations.submit([late])
        operations.close()
        assert not late.is_in_flight
        with pytest.raises(DiskError, match="closed while this was in flight") as given_up:
            late.check()
        assert given_up.value.errno == errno.ECANCELED


def test_the_eventfd_is_readable_once_if_it_is_armed(disk: Disk) -> None:
    with disk.operations() as operations:
        fd = operations.fd
        operations.arm()
        operations.submit([Write(b"x", 0)])
        os.set_blocking(fd, True)
        assert os.eventfd_read(fd) == 1
        assert len(operations.look()) == 1
        operations.submit([Write(b"x", 0)])  # nobody is told of this one
        while not operations.look():
            pass
        os.set_blocking(fd, False)
        with pytest.raises(BlockingIOError):
            os.eventfd_read(fd)
        operations.submit([Write(b"x", 0)])
        operations.completed(1, timeout_s=0)
        operations.arm()
        os.set_blocking(fd, True)
        if len(operations):
            assert os.eventfd_read(fd) == 1
