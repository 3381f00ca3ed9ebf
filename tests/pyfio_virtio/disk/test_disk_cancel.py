# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations that were given up, and the memory that the back-end still has of them.

A back-end that is stopped (SIGSTOP) answers late: when it goes on, it carries out what was
submitted, and writes into the memory that it was asked to read into.
"""

import asyncio
import contextlib
import errno
import gc
import mmap
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pyfio_virtio import Disk, DiskError, Read, Write
from pyfio_virtio.aio import AsyncDisk
from pyfio_virtio.backends.backends import Backend
from pyfio_virtio.disk.operation import Operation
from pyfio_virtio.disk.operations import Operations
from pyfio_virtio.engine import engine
from tests.conftest import ROOT
from tests.pyfio_virtio.disks import Kind, Server, every_kind, open_disk
from tests.waiting import PATIENCE_S, wait_until

Serve = Callable[..., Backend]
BLOCK = 4096
OLD, MINE = b"o" * BLOCK, b"m" * BLOCK


@pytest.fixture
def server(serve: Serve) -> Server:
    """Its first block is OLD."""
    backend = Kind("builtin", 512).start(serve)
    with open_disk(backend) as disk:
        disk.pwrite(OLD, 0)
    return Server(backend)


@contextmanager
def patient(server: Server) -> Iterator[Disk]:
    """A disk on which nothing times out."""
    with open_disk(server.backend, request_timeout_s=3600) as disk:
        yield disk


@contextmanager
def impatient(server: Server) -> Iterator[Disk]:
    with open_disk(server.backend, request_timeout_s=0.05) as disk:
        yield disk


def address_of(buffer: memoryview) -> int:
    ffi = engine.library().ffi
    return int(ffi.cast("uintptr_t", ffi.from_buffer(buffer)))


def take_all(disk: Disk) -> list[memoryview]:
    """So many buffers that one that was freed is among them; all of them are MINE."""
    buffers = [disk.alloc(BLOCK) for _ in range(64)]
    for buffer in buffers:
        buffer[:] = MINE
    return buffers


def assert_all_mine(buffers: list[memoryview]) -> None:
    assert [bytes(buffer) for buffer in buffers] == [MINE] * len(buffers)


def settle(disk: Disk) -> None:
    """Returns when the back-end has carried out all that was submitted before."""
    while True:
        try:
            disk.pread(1, 0)
        except TimeoutError:
            continue
        return


def collect(operations: Operations) -> list[Any]:
    """The outcomes of all, as soon as there are any."""
    found: list[Any] = []
    while len(operations):
        with contextlib.suppress(TimeoutError):
            done = operations.completed(1)
            found += [each.error.errno if each.error else each.count for each in done]
    return found


# ---- operations that are collected -------------------------------------------------------------


def test_a_cancelled_read_keeps_its_memory_until_it_came_back(server: Server) -> None:
    with patient(server) as disk, disk.operations() as operations:
        with server.stopped():
            late = Read(disk.alloc(BLOCK), 0)
            operations.submit([late])
            operations.cancel(late)
            assert operations.completed(0, 0) == []
            buffers = take_all(disk)
        assert operations.completed(1) == [late]
        done = late
        assert done.error is not None
        assert done.error.errno == errno.ETIMEDOUT
        assert "a read of 4096 bytes at 0 was cancelled" in str(done.error)
        assert_all_mine(buffers)


def test_memory_that_came_back_is_used_again(server: Server) -> None:
    with patient(server) as disk, disk.operations() as operations:
        buffer = disk.alloc(BLOCK)
        address = address_of(buffer)
        with server.stopped():
            late = Read(buffer, 0)
            operations.submit([late])
            operations.cancel(late)
            del buffer, late
            assert address not in map(address_of, take_all(disk))
        assert collect(operations) == [errno.ETIMEDOUT]
        assert address in map(address_of, take_all(disk))


def test_an_operation_of_other_memory_is_collected_at_once(server: Server) -> None:
    with patient(server) as disk, disk.operations() as operations, server.stopped():
        buffer = bytearray(BLOCK)
        late = Read(buffer, 0)
        operations.submit([late])
        operations.cancel(late)
        assert operations.completed(1) == [late]
        buffer[:] = MINE
    assert buffer == MINE


def test_a_read_that_takes_too_long_is_overdue_and_collected_late(server: Server) -> None:
    with impatient(server) as disk, disk.operations() as operations:
        with server.stopped():
            operations.submit([Read(disk.alloc(BLOCK), 0, "late")])
            with pytest.raises(TimeoutError, match=r"within 50 ms \(request_timeout\)"):
                operations.completed(1)
            (overdue,) = operations.overdue()
            assert (overdue.key, overdue.is_in_flight) == ("late", True)
            with pytest.raises(TimeoutError):
                overdue.check()
            assert operations.overdue() == []
            del overdue
            buffers = take_all(disk)
        assert collect(operations) == [errno.ETIMEDOUT]
        assert_all_mine(buffers)


def test_a_wait_with_a_longer_time_out_does_not_outlast_the_others(server: Server) -> None:
    with impatient(server) as disk, disk.operations() as operations:
        with server.stopped():
            operations.submit([Read(disk.alloc(BLOCK), 0)])
            with pytest.raises(TimeoutError, match="request_timeout"):
                operations.completed(1, timeout_s=3600)
        collect(operations)


def test_a_wait_for_what_is_overdue_alone_ends_in_time(server: Server) -> None:
    with impatient(server) as disk, disk.operations() as operations:
        with server.stopped():
            operations.submit([Read(disk.alloc(BLOCK), 0)])
            for _ in range(3):
                with pytest.raises(TimeoutError, match="overdue operations: 1"):
                    operations.completed(1, timeout_s=0.2)
        collect(operations)


def test_what_is_done_is_told_before_what_is_overdue(server: Server) -> None:
    with impatient(server) as disk, disk.operations() as operations:
        with server.stopped():
            operations.submit([Read(disk.alloc(BLOCK), 0, "direct")])
            operations.submit([Read(bytearray(BLOCK), 0, "other")])
            assert [done.key for done in operations.completed(2)] == ["other"]
        collect(operations)


def test_waiting_for_what_is_overdue_ends_when_it_came_back(server: Server) -> None:
    with impatient(server) as disk, disk.operations() as operations:
        with server.stopped():
            operations.submit([Read(disk.alloc(BLOCK), 0)])
            with pytest.raises(TimeoutError):
                operations.completed(1)
        assert len(operations.completed(1, timeout_s=60)) == 1


def test_the_eventfd_tells_that_what_is_overdue_came_back(server: Server) -> None:
    """The program itself found that it is overdue, and lets the eventfd take over after that."""
    with impatient(server) as disk, disk.operations() as operations:
        fd = operations.fd
        operations.arm()
        early = Read(bytearray(BLOCK), 0)
        operations.submit([early])
        assert select.select([fd], [], [], PATIENCE_S)[0]
        os.eventfd_read(fd)
        assert operations.look() == [early]
        late = Read(disk.alloc(BLOCK), 0)
        with server.stopped():
            operations.submit([late])
            wait_until(lambda: operations.look() == [late], "the time-out")
            operations.arm()
        assert select.select([fd], [], [], PATIENCE_S)[0]
        assert operations.look() == [late]
        assert not late.is_in_flight


def test_a_write_that_was_given_up_writes_what_it_was_given(server: Server) -> None:
    with impatient(server) as disk:
        data = disk.alloc(BLOCK)
        data[:] = b"w" * BLOCK
        with server.stopped():
            with pytest.raises(TimeoutError):
                disk.pwrite(data, BLOCK)
            del data
            buffers = take_all(disk)
        settle(disk)
        assert_all_mine(buffers)
        assert disk.pread(BLOCK, BLOCK) == b"w" * BLOCK


# ---- operations that nobody collects -----------------------------------------------------------


def late_read(disk: Disk) -> None:
    with pytest.raises(TimeoutError):
        disk.preadv([disk.alloc(BLOCK)], 0)


def closed_operations(disk: Disk) -> None:
    with disk.operations() as operations:
        operations.submit([Read(disk.alloc(BLOCK), 0)])


def forgotten_operations(disk: Disk) -> None:
    disk.operations().submit([Read(disk.alloc(BLOCK), 0)])
    gc.collect()


def forgotten_in_a_cycle(disk: Disk) -> None:
    operations = disk.operations()
    operations.submit([Read(disk.alloc(BLOCK), 0, operations)])
    del operations
    gc.collect()


def awaited(disk: Disk) -> None:
    async def read() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(AsyncDisk(disk).preadv([disk.alloc(BLOCK)], 0), 0.01)

    asyncio.run(read())


@pytest.mark.parametrize(
    "give_up",
    [late_read, closed_operations, forgotten_operations, forgotten_in_a_cycle, awaited],
    ids=lambda give_up: give_up.__name__,
)
@every_kind
def test_a_late_answer_meets_nobodys_memory(
    kind: Kind, serve: Serve, give_up: Callable[[Disk], None]
) -> None:
    server = Server(kind.start(serve))
    with impatient(server) as disk:
        while True:
            try:
                disk.pwrite(OLD, 0)
                break
            except TimeoutError:  # this machine is busy
                continue
        with server.stopped():
            give_up(disk)
            buffers = take_all(disk)
        settle(disk)
        assert_all_mine(buffers)


def test_the_memory_of_a_timed_out_read_comes_back(server: Server) -> None:
    with impatient(server) as disk:
        buffer = disk.alloc(BLOCK)
        address = address_of(buffer)
        with server.stopped():
            with pytest.raises(TimeoutError):
                disk.preadv([buffer], 0)
            del buffer
            assert address not in map(address_of, take_all(disk))
        settle(disk)
        assert address in map(address_of, take_all(disk))


def test_what_a_dead_back_end_had_is_not_allocated_again(server: Server) -> None:
    """It hung up; that it writes no more is not proven by this."""
    with patient(server) as disk, disk.operations() as operations:
        buffer = disk.alloc(BLOCK)
        address = address_of(buffer)
        server.stop()
        operations.submit([Read(buffer, 0)])
        server.kill()
        assert collect(operations) == [errno.EIO]
        del buffer
        assert address not in map(address_of, take_all(disk))


# ---- the end -----------------------------------------------------------------------------------

LEAVE = """
import asyncio, sys, threading
import pyfio_virtio
from tests.waiting import stop
disk = pyfio_virtio.open(sys.argv[1], wait="event", request_timeout_s=3600)
buffer = disk.alloc(4096)
stop(int(sys.argv[2]))
"""
ENDINGS = {
    "open operations": """
operations = disk.operations()
operations.submit([pyfio_virtio.Read(buffer, 0)])
operations.fd
""",
    "forgotten operations": "disk.operations().submit([pyfio_virtio.Read(buffer, 0)])",
    "closed operations": """
with disk.operations() as operations:
    operations.submit([pyfio_virtio.Read(buffer, 0)])
""",
    "a cancelled task": """
async def work():
    try:
        await asyncio.wait_for(pyfio_virtio.aio.AsyncDisk(disk).preadv([buffer], 0), 0.01)
    except TimeoutError:
        pass
asyncio.run(work())
""",
    "a thread in a call": """
threading.Thread(target=disk.pread, args=(4096, 0), daemon=True).start()
""",
    "a task that is left": """
async def work():
    asyncio.create_task(pyfio_virtio.aio.AsyncDisk(disk).preadv([buffer], 0))
    await asyncio.sleep(0.01)
asyncio.run(work())
""",
    "a closed disk": "disk.operations().submit([pyfio_virtio.Read(buffer, 0)]); disk.close()",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_program_can_end_with_operations_in_flight(server: Server, ending: str) -> None:
    command = [sys.executable, "-c", LEAVE + ending, server.backend.socket]
    try:
        done = subprocess.run(
            [*command, str(server.backend.process.pid)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        server.go_on()
    assert (done.returncode, done.stderr) == (0, "")


# ---- any sequence ------------------------------------------------------------------------------

PLACES = 64
places = st.integers(0, PLACES - 1)
choices = st.integers(0, 1 << 16)


def pattern(number: int) -> bytes:
    return number.to_bytes(4, "little") * (BLOCK // 4)


class LateAnswers(RuleBasedStateMachine):
    """Buffers that the program has to itself keep what it put there, whatever was given up.

    Places of the disk hold their own pattern, so that an answer in a wrong buffer is seen. Each
    write goes to a place of its own: what arrives there is what was written, or what was before.
    """

    server: Server  # set by the test

    @initialize()
    def start(self) -> None:
        self.disk = open_disk(self.server.backend, request_timeout_s=0.03)
        self.operations = self.disk.operations()
        self.settle()
        self.numbers = iter(range(1000, 1 << 31))
        self.mine: dict[int, tuple[memoryview, bytes]] = {}
        self.lent: dict[int, memoryview] = {}  # by key: the program keeps hold of some
        self.written: dict[int, set[bytes]] = {}
        self.next_place = PLACES

    def settle(self) -> None:
        """All that was submitted is carried out, and the disk's places are as they were."""
        self.server.go_on()
        settle(self.disk)
        for place in range(PLACES):
            while True:
                try:
                    self.disk.pwrite(pattern(place), place * BLOCK)
                    break
                except TimeoutError:
                    continue

    def new_buffer(self, blocks: int) -> tuple[int, memoryview]:
        number = next(self.numbers)
        buffer = self.disk.alloc(blocks * BLOCK)
        buffer[:] = pattern(number) * blocks
        return number, buffer

    def new_place(self, before: bytes, after: bytes) -> int:
        self.next_place += 1
        self.written[self.next_place] = {before, after}
        return self.next_place * BLOCK

    @rule(blocks=st.integers(1, 4))
    def allocate(self, blocks: int) -> None:
        number, buffer = self.new_buffer(blocks)
        self.mine[number] = (buffer, pattern(number) * blocks)

    # How many there are depends on time, so what is drawn must not depend on it.
    @rule(which=choices)
    def drop(self, which: int) -> None:
        if self.mine:
            del self.mine[list(self.mine)[which % len(self.mine)]]

    @rule()
    def stop(self) -> None:
        self.server.stop()

    @rule()
    def go_on(self) -> None:
        self.server.go_on()

    @rule(place=places, is_kept=st.booleans())
    def submit_read(self, place: int, is_kept: bool) -> None:
        number, buffer = self.new_buffer(1)
        self.operations.submit([Read(buffer, place * BLOCK, number)])
        if is_kept:
            self.lent[number] = buffer

    @rule(place=places)
    def submit_long_read(self, place: int) -> None:
        number, buffer = self.new_buffer(3)
        self.operations.submit([Read(buffer, place * BLOCK + 100, number)])

    @rule()
    def submit_write(self) -> None:
        number, buffer = self.new_buffer(1)
        self.operations.submit(
            [Write(buffer, self.new_place(bytes(BLOCK), pattern(number)), number)]
        )

    @rule(which=choices, is_all=st.integers(0, 5).map(lambda number: number == 0))
    def cancel(self, which: int, is_all: bool) -> None:
        submitted = list(self.operations._in_flight.values())
        one = which % max(len(submitted), 1)
        for each in submitted if is_all else submitted[one : one + 1]:
            self.operations.cancel(each)

    @rule(timeout_s=st.sampled_from((0, 0.001, 0.05, None)))
    def collect(self, timeout_s: float | None) -> None:
        done = list[Operation]()
        with contextlib.suppress(TimeoutError):
            done = self.operations.completed(1, timeout_s)
        for each in done:
            # What was collected is the program's again.
            buffer = self.lent.pop(each.key, None) if isinstance(each.key, int) else None
            if buffer is not None:
                assert isinstance(each.key, int)
                buffer[:] = pattern(each.key)
                self.mine[each.key] = (buffer, pattern(each.key))

    @rule(place=places)
    def read_and_wait(self, place: int) -> None:
        _, buffer = self.new_buffer(1)
        try:
            self.disk.preadv([buffer], place * BLOCK)
        except TimeoutError:
            return
        assert bytes(buffer) == pattern(place)

    @rule()
    def write_and_wait(self) -> None:
        number, buffer = self.new_buffer(1)
        try:
            self.disk.pwrite(buffer, self.new_place(bytes(BLOCK), pattern(number)))
        except TimeoutError:
            return
        self.written[self.next_place] = {pattern(number)}

    @rule(place=places, after_s=st.sampled_from((0.0, 0.001, 0.1)))
    def read_in_a_task(self, place: int, after_s: float) -> None:
        async def read() -> None:
            _, buffer = self.new_buffer(1)
            try:
                reading = AsyncDisk(self.disk).preadv([buffer], place * BLOCK)
                await asyncio.wait_for(reading, after_s)
            except TimeoutError:
                return
            assert bytes(buffer) == pattern(place)

        asyncio.run(read())

    @rule()
    def close_operations(self) -> None:
        self.operations.close()
        self.operations = self.disk.operations()
        self.lent.clear()

    @rule()
    def forget_operations(self) -> None:
        self.operations = self.disk.operations()
        self.lent.clear()

    @invariant()
    def what_is_mine_is_as_i_left_it(self) -> None:
        for buffer, expected in getattr(self, "mine", {}).values():
            assert buffer == expected

    def teardown(self) -> None:
        if not hasattr(self, "written"):
            return
        self.settle()
        self.what_is_mine_is_as_i_left_it()
        for place, allowed in self.written.items():
            assert self.disk.pread(BLOCK, place * BLOCK) in allowed
            self.disk.write_zeroes(place * BLOCK, BLOCK)
        self.operations.close()
        self.disk.close()
        # Buffers outlive the disk, and late answers too.
        self.what_is_mine_is_as_i_left_it()


@pytest.mark.parametrize("kind", [Kind("builtin", 512), Kind("qsd", 512)], ids=lambda k: k.name)
def test_late_answers_never_meet_memory_that_was_handed_out_again(kind: Kind, serve: Serve) -> None:
    machine = type("Machine", (LateAnswers,), {"server": Server(kind.start(serve))})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# ---- memory of the program ---------------------------------------------------------------------


def test_memory_of_an_operation_is_not_unregistered(server: Server) -> None:
    """Not even if the operation was given up, until the back-end has carried it out."""
    fd = os.memfd_create("program")
    os.ftruncate(fd, BLOCK)
    with impatient(server) as disk, mmap.mmap(fd, BLOCK) as memory:
        disk.register(memory, fd)
        os.close(fd)
        with server.stopped():
            with pytest.raises(DiskError, match="did not complete a read"):
                disk.preadv([memory], 0)
            with pytest.raises(DiskError, match="still has the memory") as refused:
                disk.unregister(memory)
            assert refused.value.errno == errno.EBUSY
        disk.pread(BLOCK, 0)  # finds the answer to the former read, too
        disk.unregister(memory)
