# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks as Python programs use them: pyfio_virtio/disk/disk.py, and the C below it."""

import errno
import gc
import mmap
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import pyfio_virtio
from pyfio_virtio import Disk, DiskError, Flush, Read, Write
from pyfio_virtio.backends.backends import Backend
from tests.pyfio_virtio.disks import DISK_BYTES, WAITS, Kind, every_kind, open_disk
from tests.waiting import go_on, kill, stop, wait_until

Serve = Callable[..., Backend]
PIECE_BYTES = 1000


# ---- reading and writing -----------------------------------------------------------------------


@every_kind
def test_a_disk_says_how_large_it_is(kind: Kind, serve: Serve) -> None:
    with open_disk(kind.start(serve)) as disk:
        assert (disk.size, disk.block_size) == (DISK_BYTES, kind.block_size)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Kind("builtin", 512), "pyfio-virtio-blk"), (Kind("qsd", 512), "vhost_user_blk")],
)
def test_a_disk_has_its_id(kind: Kind, name: str, serve: Serve) -> None:
    with open_disk(kind.start(serve)) as disk:
        assert disk.info.id == name


@every_kind
def test_a_hundred_pieces_of_a_thousand_bytes(kind: Kind, serve: Serve) -> None:
    """Written asynchronously, so that neighbours change the same blocks at the same time."""
    pieces = [random.Random(i).randbytes(PIECE_BYTES) for i in range(100)]
    with open_disk(kind.start(serve)) as disk, disk.operations() as operations:
        operations.submit(Write(piece, i * PIECE_BYTES) for i, piece in enumerate(pieces))
        assert [done.check() for done in operations.completed(100)] == [PIECE_BYTES] * 100
        assert disk.pread(100 * PIECE_BYTES, 0) == b"".join(pieces)


@every_kind
def test_eight_threads_that_share_blocks_lose_nothing(kind: Kind, serve: Serve) -> None:
    """Each owns every eighth piece, and keeps a model of those."""
    pieces = 160

    def work(disk: Disk, number: int) -> dict[int, bytes]:
        chance = random.Random(number)
        mine: dict[int, bytes] = dict.fromkeys(range(number, pieces, 8), bytes(PIECE_BYTES))
        for _ in range(60):
            piece = chance.choice(list(mine))
            mine[piece] = chance.randbytes(PIECE_BYTES)
            disk.pwrite(mine[piece], piece * PIECE_BYTES)
            assert disk.pread(PIECE_BYTES, piece * PIECE_BYTES) == mine[piece]
        return mine

    with open_disk(kind.start(serve, queues=2), queues=2) as disk:
        with ThreadPoolExecutor(8) as pool:
            models = list(pool.map(work, [disk] * 8, range(8)))
        model = {piece: data for mine in models for piece, data in mine.items()}
        expected = b"".join(model[piece] for piece in range(pieces))
        assert disk.pread(pieces * PIECE_BYTES, 0) == expected


def test_a_part_of_a_block_and_the_whole_of_it(disk: Disk) -> None:
    """Whichever comes last, what was there before both is gone."""
    whole, part = b"W" * 512, b"part"
    either = {whole, whole[:100] + part + whole[104:]}
    with disk.operations() as operations:
        for number in range(300):
            start = number * 512
            jobs = [(whole, start), (part, start + 100)]
            for data, offset in jobs if number % 2 else reversed(jobs):
                operations.submit([Write(data, offset)])
        operations.completed(600)
    found = disk.pread(300 * 512, 0)
    assert {found[start : start + 512] for start in range(0, len(found), 512)} <= either


@pytest.mark.parametrize("wait", WAITS)
def test_every_way_of_waiting(backend: Backend, wait: str) -> None:
    with open_disk(backend, wait=wait) as disk:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: disk.pwrite(bytes([i]) * 700, i * 700), range(100)))
        assert disk.pread(70_000, 0) == b"".join(bytes([i]) * 700 for i in range(100))


def test_a_read_ends_where_the_disk_ends(disk: Disk) -> None:
    assert len(disk.pread(100, DISK_BYTES - 10)) == 10
    assert disk.pread(100, DISK_BYTES) == b""
    assert disk.pread(100, DISK_BYTES + 5) == b""


def test_a_write_ends_where_the_disk_ends(disk: Disk) -> None:
    assert disk.pwrite(bytes(100), DISK_BYTES - 10) == 10


def test_a_write_behind_the_end_is_refused(disk: Disk) -> None:
    with pytest.raises(DiskError, match="begins at or beyond the end of the device") as refused:
        disk.pwrite(b"x", DISK_BYTES)
    assert refused.value.errno == errno.ENOSPC


def test_no_bytes_are_no_work(disk: Disk) -> None:
    assert disk.pread(0, 5) == b""
    assert disk.pwrite(b"", 5) == 0


def test_several_buffers_follow_each_other(disk: Disk) -> None:
    assert disk.pwritev([b"one", b"", b"three"], 510) == 8
    first, second = bytearray(5), bytearray(3)
    assert disk.preadv([first, second], 510) == 8
    assert bytes(first + second) == b"onethree"


def test_more_than_a_stretch_is_moved(disk: Disk) -> None:
    """Longer than bounce buffers, and than what is claimed at once."""
    data = random.Random(0).randbytes((5 << 20) + 33)
    assert disk.pwrite(data, 777) == len(data)
    assert disk.pread(len(data), 777) == data


def test_write_zeroes_takes_any_range(disk: Disk) -> None:
    disk.pwrite(b"x" * 5000, 0)
    disk.write_zeroes(700, 3001)
    assert disk.pread(5000, 0) == b"x" * 700 + bytes(3001) + b"x" * 1299


def test_discard_leaves_parts_of_blocks_alone(disk: Disk) -> None:
    disk.pwrite(b"x" * 2048, 0)
    disk.discard(100, 1500)
    data = disk.pread(2048, 0)
    assert (data[:512], data[1536:]) == (b"x" * 512, b"x" * 512)


def test_flush(disk: Disk) -> None:
    disk.flush()


def test_a_read_only_disk_is_not_written(serve: Serve) -> None:
    with open_disk(Kind("builtin", 512).start(serve, read_only=True)) as disk:
        with pytest.raises(DiskError, match="read-only") as refused:
            disk.pwrite(b"x", 0)
        assert refused.value.errno == errno.EROFS
        assert disk.pread(3, 0) == bytes(3)


# ---- memory ------------------------------------------------------------------------------------


def test_numpy_takes_a_buffer_without_a_copy(disk: Disk) -> None:
    buffer = disk.alloc(4096)
    array: Any = np.frombuffer(buffer, dtype=np.uint8)
    array[:] = 9
    assert bytes(buffer) == b"\x09" * 4096
    disk.pwrite(array, 512)
    array[:] = 0
    disk.preadv([array], 512)
    assert (array == 9).all()


@pytest.mark.parametrize("offset", [0, 512, 100])
@pytest.mark.parametrize("size", [512, 4096, 700])
def test_shared_memory_and_any_offset(disk: Disk, offset: int, size: int) -> None:
    buffer = disk.alloc(size)
    buffer[:] = random.Random(size).randbytes(size)
    disk.pwrite(buffer, offset)
    assert disk.pread(size, offset) == bytes(buffer)
    expected = bytes(buffer)
    buffer[:] = bytes(size)
    assert disk.preadv([buffer], offset) == size
    assert bytes(buffer) == expected


def test_memory_grows(disk: Disk) -> None:
    buffers = [disk.alloc(16 << 20) for _ in range(3)]
    for number, buffer in enumerate(buffers):
        buffer[:512] = bytes([number]) * 512
        disk.pwrite(buffer[:512], number * 512)
    assert disk.pread(1536, 0) == b"".join(bytes([number]) * 512 for number in range(3))


def test_what_no_machine_has_is_refused(disk: Disk) -> None:
    with pytest.raises(DiskError) as refused:
        disk.alloc(1 << 50)
    assert refused.value.errno == errno.ENOMEM


def test_memory_of_the_program(disk: Disk) -> None:
    fd = os.memfd_create("program")
    os.ftruncate(fd, 1 << 20)
    with mmap.mmap(fd, 1 << 20) as memory:
        disk.register(memory, fd)
        os.close(fd)
        memory[8192:12288] = b"m" * 4096
        disk.pwrite(memoryview(memory)[8192:12288], 4096)
        assert disk.pread(4096, 4096) == b"m" * 4096
        disk.close()


@pytest.mark.parametrize(
    "kind", [Kind("builtin", 512), Kind("qsd", 512)], ids=lambda kind: kind.name
)
def test_memory_of_the_program_is_given_back(kind: Kind, serve: Serve) -> None:
    """As often as one likes, and other memory takes its place."""
    with open_disk(kind.start(serve)) as disk:
        for number in range(100):
            fd = os.memfd_create("program")
            os.ftruncate(fd, 8192)
            with mmap.mmap(fd, 8192) as memory:
                disk.register(memory, fd)
                os.close(fd)
                memory[:4096] = bytes([number]) * 4096
                disk.pwrite(memoryview(memory)[:4096], 0)
                disk.preadv([memoryview(memory)[4096:]], 0)
                assert memory[:4096] == memory[4096:]
                disk.unregister(memory)
        assert disk.pread(4096, 0) == bytes([number]) * 4096


def test_memory_that_a_closed_disk_refuses_can_be_closed_at_once(disk: Disk) -> None:
    disk.close()
    memory = mmap.mmap(-1, 8192)
    with pytest.raises(DiskError, match="closed") as refused:
        disk.register(memory, 0)
    memory.close()  # while the error still has its traceback
    assert refused.value.errno == errno.EBADF


def test_memory_that_its_file_does_not_hold_is_refused(disk: Disk) -> None:
    fd = os.memfd_create("program")
    os.ftruncate(fd, 4096)
    with mmap.mmap(-1, 8192) as memory:
        with pytest.raises(DiskError, match="not that long") as refused:
            disk.register(memory, fd)
        assert refused.value.errno == errno.EINVAL
    os.close(fd)


def test_a_buffer_outlives_its_disk(backend: Backend) -> None:
    with open_disk(backend) as disk:
        buffer = disk.alloc(4096)
    buffer[:] = b"z" * 4096
    assert bytes(buffer) == b"z" * 4096


# ---- the end -----------------------------------------------------------------------------------


def test_a_closed_disk_refuses(backend: Backend) -> None:
    disk = open_disk(backend)
    disk.close()
    disk.close()
    with pytest.raises(DiskError, match="closed") as refused:
        disk.pread(1, 0)
    assert refused.value.errno == errno.EBADF


def test_closing_gives_up_what_is_in_flight(serve: Serve) -> None:
    backend = Kind("builtin", 512, ("latency=3600s",)).start(serve)
    disk = open_disk(backend)
    with disk.operations() as operations:
        operations.submit([Read(bytearray(512), 0)])
        disk.close()


def until_it_fails(disk: Disk) -> int | None:
    buffer = bytearray(4096)
    try:
        while True:
            disk.preadv([buffer], 0)
    except OSError as error:
        return error.errno


@pytest.mark.parametrize("wait", WAITS)
def test_every_caller_hears_of_the_back_ends_death(backend: Backend, wait: str) -> None:
    with open_disk(backend, wait=wait) as disk, ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(until_it_fails, disk) for _ in range(4)]
        kill(backend.process.pid)
        assert [caller.result() for caller in callers] == [errno.EIO] * 4


@pytest.mark.parametrize("wait", WAITS)
def test_a_back_end_that_stands_still_times_out(backend: Backend, wait: str) -> None:
    with open_disk(backend, wait=wait, request_timeout_s=0.2) as disk:
        disk.pwrite(b"before", 0)
        stop(backend.process.pid)
        with ThreadPoolExecutor(3) as pool:
            callers = [pool.submit(until_it_fails, disk) for _ in range(3)]
            assert [caller.result() for caller in callers] == [errno.ETIMEDOUT] * 3
        go_on(backend.process.pid)
        while True:  # what was given up comes back, and then all is well
            try:
                assert disk.pread(6, 0) == b"before"
                break
            except TimeoutError:
                continue


def test_a_writer_that_waits_for_anothers_block_times_out_too(backend: Backend) -> None:
    with open_disk(backend, request_timeout_s=0.2) as disk:
        stop(backend.process.pid)
        with ThreadPoolExecutor(3) as pool:
            callers = [pool.submit(disk.pwrite, b"x", i) for i in range(3)]
            codes = [getattr(caller.exception(), "errno", None) for caller in callers]
        go_on(backend.process.pid)
        assert codes == [errno.ETIMEDOUT] * 3


def test_open_and_close_leave_nothing_behind(backend: Backend) -> None:
    def use() -> None:
        with open_disk(backend) as disk:
            disk.alloc(4096)
            disk.pwrite(b"x" * 600, 100)
            with disk.operations() as operations:
                operations.submit([Read(bytearray(100), 0)])
                assert operations.fd >= 0

    use()
    gc.collect()
    process = psutil.Process()
    before = (process.num_fds(), len(process.memory_maps(grouped=False)), process.num_threads())
    for _ in range(50):
        use()
    gc.collect()
    assert process.num_fds() <= before[0]
    # A sanitizer maps some memory of its own; a mapping that is left at each turn makes 50.
    assert len(process.memory_maps(grouped=False)) < before[1] + 25
    # The kernel counts a thread for some time after pthread_join() has returned.
    wait_until(lambda: process.num_threads() <= before[2], "the end of the threads")


def test_a_child_process_cannot_use_the_disk_and_leaves_it_alone(disk: Disk) -> None:
    buffer = disk.alloc(512)
    with disk.operations() as operations:
        assert operations.fd >= 0
        child = os.fork()
        if not child:
            # Everything is as in the parent, but for the engine's threads.
            try:
                disk.pread(1, 0)
            except DiskError as error:
                del buffer
                operations.close()
                disk.close()
                os._exit(error.errno or 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EBADF
        operations.submit([Write(b"parent", 0)])
        operations.completed(1)
    assert disk.pread(6, 0) == b"parent"


def test_nobody_serves_the_socket(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="no such socket") as refused:
        pyfio_virtio.open(tmp_path / "nobody")
    assert refused.value.errno == errno.ENOENT


# ---- operations in flight ----------------------------------------------------------------------


def test_keys_come_back(disk: Disk) -> None:
    with disk.operations() as operations:
        batch = [Write(key.encode() * 700, ord(key) * 700, key) for key in ("a", "b", "c")]
        operations.submit([*batch, Flush("flush")])
        done = operations.completed(4)
        assert {each.key for each in done} == {"a", "b", "c", "flush"}
        assert operations.completed(1) == []
        assert len(operations) == 0


def test_more_operations_than_the_queue_holds(backend: Backend) -> None:
    with open_disk(backend, depth=4) as disk, disk.operations() as operations:
        operations.submit([Write(bytes([i % 251]) * 300, i * 300) for i in range(500)])
        assert len(operations.completed(500)) == 500
        assert disk.pread(150_000, 0) == b"".join(bytes([i % 251]) * 300 for i in range(500))


def test_a_failed_operation_says_why(disk: Disk) -> None:
    with disk.operations() as operations:
        with pytest.raises(DiskError, match="begins at or beyond the end"):
            operations.submit([Write(b"x", DISK_BYTES)])
        assert operations.completed(1) == []


def test_waiting_has_an_end(serve: Serve) -> None:
    backend = Kind("builtin", 512, ("latency=3600s",)).start(serve)
    with open_disk(backend) as disk, disk.operations() as operations:
        slow = Read(bytearray(512), 0)
        operations.submit([slow])
        assert operations.completed(1, timeout_s=0.05) == []
        operations.cancel(slow)
        (done,) = operations.completed(1)
        assert done is slow
        assert done.error is not None
        assert done.error.errno == errno.ETIMEDOUT


@pytest.mark.parametrize("minimum", [0, 1])
@pytest.mark.parametrize("wait", WAITS)
def test_who_never_waits_sees_completions_too(backend: Backend, wait: str, minimum: int) -> None:
    with open_disk(backend, wait=wait) as disk, disk.operations() as operations:
        operations.submit([Write(b"x" * 100, 0)])
        wait_until(lambda: bool(operations.completed(minimum, timeout_s=0)))
        assert len(operations) == 0


def test_the_eventfd_tells_of_completions(disk: Disk) -> None:
    with disk.operations() as operations:
        fd = operations.fd
        os.set_blocking(fd, True)
        operations.submit([Write(b"x" * 100, 0)])
        assert os.eventfd_read(fd) >= 1
        assert len(operations.completed(0)) == 1


def test_operations_end_with_their_back_end(backend: Backend, disk: Disk) -> None:
    with disk.operations() as operations:
        kill(backend.process.pid)
        for i in range(10):
            operations.submit([Read(bytearray(512), i * 512)])
        errors = [done.error for done in operations.completed(10)]
        assert [error.errno for error in errors if error] == [errno.EIO] * 10
