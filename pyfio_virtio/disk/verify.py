# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a disk, reads it back, and finds the first byte that is wrong.

A Plan says which pieces of the disk are written, and with which content. run() carries it out in
its own threads. The pieces are adjacent and are given to the threads in turn, so threads write to
the same block if a piece does not consist of whole blocks. Each piece is read back at once, and all
pieces are read again at the end. An exception in the thread that called run(), such as ^C, or a
failure of one thread ends all of them at once. Nothing is printed here.
"""

import contextlib
import random
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Protocol, TypeVar

from pyfio_virtio.disk.disk import Disk
from pyfio_virtio.disk.operation import Read, Write
from pyfio_virtio.disk.operations import Operations
from pyfio_virtio.errors import DiskError, UsageError
from pyfio_virtio.machine import signals
from pyfio_virtio.sizes import format_size

DEFAULT_PIECE_BYTES = 4096
DEFAULT_FULL_PIECE_BYTES = 1 << 20
# The operations in flight of each thread, with is_async.
IN_FLIGHT = 64
# All buffers together have no more shared memory than this.
MOST_MEMORY_BYTES = 256 << 20
_PAGE_BYTES = 4096
# A thread looks whether it has to end before it fills or compares so many bytes.
_PART_BYTES = 64 << 10

T = TypeVar("T")
# It is called with the number of bytes that were done since the last call.
Progress = Callable[[int], None]

# ---- what is written ---------------------------------------------------------------------------


class Content(Protocol):
    """The bytes that belong at each offset of the disk. They depend only on the offset."""

    def at(self, offset: int, size: int) -> bytes: ...


@dataclass(frozen=True)
class Offsets:
    """Every eight bytes hold their own offset, so misplaced data shows where it belongs."""

    # With this mark no word is zero, because a disk that lost the data would return zeroes.
    mark: int = 0x5AFE_0000_0000_0000

    def at(self, offset: int, size: int) -> bytes:
        first = offset // 8
        words = array("Q", (self.mark ^ 8 * i for i in range(first, -(-(offset + size) // 8))))
        return words.tobytes()[offset - 8 * first :][:size]


@dataclass(frozen=True)
class Pattern:
    """The same bytes repeated, from the first byte of the disk."""

    pattern: bytes

    def at(self, offset: int, size: int) -> bytes:
        skip = offset % len(self.pattern)
        return (self.pattern * ((skip + size) // len(self.pattern) + 1))[skip:][:size]


@dataclass(frozen=True)
class Random:
    """Pseudo-random bytes from a seed."""

    seed: int
    chunk_bytes: int = 4096

    def at(self, offset: int, size: int) -> bytes:
        first = offset // self.chunk_bytes
        last = (offset + size - 1) // self.chunk_bytes
        chunks = b"".join(self._chunk(number) for number in range(first, last + 1))
        return chunks[offset - first * self.chunk_bytes :][:size]

    def _chunk(self, number: int) -> bytes:
        return random.Random(f"{self.seed} {number}").randbytes(self.chunk_bytes)  # noqa: S311


# ---- what is to be done ------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    offset: int
    size: int


@dataclass(frozen=True)
class Plan:
    """`first` is the offset of the first piece, and `size` is the size of all pieces together."""

    first: int
    size: int
    piece_bytes: int
    content: Content
    threads: int = 1
    is_async: bool = False
    only_reads: bool = False

    def check(self, disk_bytes: int) -> None:
        if not disk_bytes:
            raise UsageError("cannot verify this disk", "the back-end does not say how large it is")
        if self.first + self.size > disk_bytes:
            raise UsageError(
                f"{self.size} bytes at {self.first} do not fit",
                f"the disk has {disk_bytes} ({format_size(disk_bytes)})",
                "use fewer iterations or smaller pieces",
            )

    def pieces(self, thread: int) -> Iterator[Piece]:
        """The pieces of one thread: every n-th piece, for n threads.

        They are made one by one, because a large disk has very many.
        """
        end = self.first + self.size
        starts = range(self.first, end, self.piece_bytes)[thread :: self.threads]
        return (Piece(start, min(self.piece_bytes, end - start)) for start in starts)

    @property
    def buffers(self) -> "Buffers":
        count = -(-self.size // self.piece_bytes)
        return plan_buffers(self.piece_bytes, self.threads, is_async=self.is_async, pieces=count)

    @property
    def work_bytes(self) -> int:
        """The sum of all calls of Progress."""
        return self.size if self.only_reads else 2 * self.size


@dataclass(frozen=True)
class Buffers:
    """The buffers of each thread."""

    count: int
    memory_bytes: int  # of all threads; 0: they are too large to be shared with the back-end


def plan_buffers(
    piece_bytes: int, threads: int, *, is_async: bool, pieces: int | None = None
) -> Buffers:
    """Plans them before the disk is opened, because some back-ends take memory only then.

    `pieces` is the number of all pieces, or None as long as the size of the disk is not known.
    """
    buffer_bytes = -(-piece_bytes // _PAGE_BYTES) * _PAGE_BYTES * threads
    if buffer_bytes > MOST_MEMORY_BYTES:
        return Buffers(1, 0)
    count = min(IN_FLIGHT, MOST_MEMORY_BYTES // buffer_bytes) if is_async else 1
    if pieces is not None:
        count = max(1, min(count, -(-pieces // threads)))
    return Buffers(count, count * buffer_bytes)


# ---- what was found ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """The part of a block that belongs to the plan, and the bytes that were read from it."""

    number: int
    offset: int  # of the first byte of that part
    expected: bytes
    found: bytes

    @property
    def wrong(self) -> list[int]:
        """The places in `found` that differ from `expected`."""
        pairs = zip(self.expected, self.found, strict=True)
        return [i for i, (expected, found) in enumerate(pairs) if expected != found]


@dataclass(frozen=True)
class Difference:
    """The first byte that is wrong, and the blocks around it."""

    offset: int
    expected: int
    found: int
    block_size: int
    blocks: Sequence[Block]

    def sentence(self) -> str:
        number, place = divmod(self.offset, self.block_size)
        return (
            f"byte {self.offset} is 0x{self.found:02x} and should be 0x{self.expected:02x} "
            f"(block {number}, byte {place} of {self.block_size})"
        )


def _difference(disk: Disk, plan: Plan, offset: int) -> Difference:
    number = offset // disk.block_size
    around = (_block(disk, plan, each) for each in (number - 1, number, number + 1))
    blocks = [block for block in around if block is not None]
    found = next(block.found[offset - block.offset] for block in blocks if block.number == number)
    expected = plan.content.at(offset, 1)[0]
    return Difference(offset, expected, found, disk.block_size, blocks)


def _block(disk: Disk, plan: Plan, number: int) -> Block | None:
    """The block as it is now; None if it does not belong to the plan."""
    first = max(plan.first, number * disk.block_size)
    size = min(plan.first + plan.size, (number + 1) * disk.block_size) - first
    if size <= 0:
        return None
    return Block(number, first, plan.content.at(first, size), disk.pread(size, first))


# ---- carrying it out -----------------------------------------------------------------------------


class _StoppedError(Exception):
    """Another thread of the run failed or was interrupted, so this one ends too."""


class _Run:
    """The state that the threads of a run share."""

    def __init__(self, disk: Disk, plan: Plan, progress: Progress) -> None:
        self.disk = disk
        self.content = plan.content
        self.piece_bytes = plan.piece_bytes
        self.buffers = plan.buffers
        self._progress = progress
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._wrong: list[int] = []  # the offset of the first wrong byte of each wrong piece

    def stop(self) -> None:
        """Ends all threads soon. Those that wait for the disk are not woken up."""
        self._stopping.set()

    def _parts(self, piece: Piece) -> Iterator[tuple[int, slice]]:
        """The offset of each part of a piece, and its place in the buffer."""
        for start in range(0, piece.size, _PART_BYTES):
            if self._stopping.is_set():
                raise _StoppedError
            yield piece.offset + start, slice(start, min(start + _PART_BYTES, piece.size))

    def fill(self, piece: Piece, buffer: memoryview) -> None:
        for offset, part in self._parts(piece):
            buffer[part] = self.content.at(offset, part.stop - part.start)

    def clear(self, piece: Piece, buffer: memoryview) -> None:
        """So that data of an earlier operation is not taken for what the disk returns."""
        for _, part in self._parts(piece):
            buffer[part] = bytes(part.stop - part.start)

    def compare(self, piece: Piece, found: memoryview) -> None:
        for offset, part in self._parts(piece):
            expected = self.content.at(offset, part.stop - part.start)
            if found[part] != expected:
                wrong = zip(expected, found[part], strict=True)
                place = next(i for i, (byte, other) in enumerate(wrong) if byte != other)
                self._note_wrong(offset + place)
                break
        with self._lock:
            self._progress(piece.size)

    def _note_wrong(self, offset: int) -> None:
        with self._lock:
            self._wrong.append(offset)

    @property
    def first_wrong(self) -> int | None:
        with self._lock:
            return min(self._wrong, default=None)


def run(disk: Disk, plan: Plan, progress: Progress = lambda size: None) -> Difference | None:
    """Returns None if every byte is right; otherwise it stops early and returns a difference.

    If it is interrupted, it closes the disk.
    """
    plan.check(disk.size)
    shared = _Run(disk, plan, progress)
    work = _in_flight if plan.is_async else _one_by_one
    for writes in (False,) if plan.only_reads else (True, False):
        pieces = [plan.pieces(thread) for thread in range(plan.threads)]
        _in_threads(shared, [partial(work, shared, mine, writes) for mine in pieces])
        wrong = shared.first_wrong
        if wrong is not None:
            return _in_threads(shared, [partial(_difference, disk, plan, wrong)])[0]
    return None


def _in_threads(shared: _Run, calls: Sequence[Callable[[], T]]) -> list[T]:
    """Makes each call in its own thread, because a signal does not interrupt a call of the engine.

    If one fails, or the calling thread is interrupted, all of them end.
    """
    # Unlike what Python builds of locks, it can be interrupted anywhere and holds nothing.
    ended: SimpleQueue[None] = SimpleQueue()

    def stopping(call: Callable[[], T]) -> T:
        try:
            return call()
        except BaseException:
            shared.stop()
            raise
        finally:
            ended.put(None)

    # At its end, the block waits for all threads.
    with ThreadPoolExecutor(len(calls)) as pool:
        try:
            with signals.held_from_threads():
                threads = [pool.submit(stopping, call) for call in calls]
            for _ in threads:
                signals.wait(ended)
        except BaseException:
            shared.stop()
            shared.disk.close()  # this ends the calls that wait for a back-end that hangs
            raise
    failures = [each for thread in threads if (each := thread.exception()) is not None]
    for failure in sorted(failures, key=lambda each: isinstance(each, _StoppedError)):
        raise failure
    return [thread.result() for thread in threads]


def _buffer(shared: _Run) -> memoryview:
    """In shared memory if there is some; other memory costs a copy by way of bounce buffers."""
    if shared.buffers.memory_bytes:
        with contextlib.suppress(DiskError):
            return shared.disk.alloc(shared.piece_bytes)
    return memoryview(bytearray(shared.piece_bytes))


def _one_by_one(shared: _Run, pieces: Iterable[Piece], writes: bool) -> None:
    whole = _buffer(shared)
    for piece in pieces:
        if shared.first_wrong is not None:
            return
        buffer = whole[: piece.size]
        if writes:
            shared.fill(piece, buffer)
            shared.disk.pwrite(buffer, piece.offset)
        shared.clear(piece, buffer)
        shared.disk.preadv([buffer], piece.offset)
        shared.compare(piece, buffer)


def _in_flight(shared: _Run, pieces: Iterable[Piece], writes: bool) -> None:
    count = shared.buffers.count
    buffers = [_buffer(shared) for _ in range(count)]
    left = iter(pieces)
    with shared.disk.operations() as operations:
        while some := list(islice(left, count)):
            if shared.first_wrong is not None:
                return
            pairs = zip(some, buffers, strict=False)
            batch = [(piece, buffer[: piece.size]) for piece, buffer in pairs]
            _carry_out(shared, operations, batch, writes)


def _carry_out(
    shared: _Run, operations: Operations, batch: Sequence[tuple[Piece, memoryview]], writes: bool
) -> None:
    if writes:
        for piece, buffer in batch:
            shared.fill(piece, buffer)
        operations.submit([Write(buffer, piece.offset) for piece, buffer in batch])
        _collect(operations)
    for piece, buffer in batch:
        shared.clear(piece, buffer)
    operations.submit([Read(buffer, piece.offset) for piece, buffer in batch])
    _collect(operations)
    for piece, buffer in batch:
        shared.compare(piece, buffer)


def _collect(operations: Operations) -> None:
    """Collects all operations. If all take too long, completed() raises."""
    while len(operations):
        for done in operations.completed(len(operations)):
            done.check()
