# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a disk, reads it back, and says which byte is not what was written.

A Plan says which pieces of the disk are written, and with what; run() carries it out, in threads
of its own. Pieces lie side by side and are dealt to the threads in turn, so that threads write
into each other's blocks whenever a piece is not made of whole ones. Each piece is read back at
once, and all of them once more at the end. Nothing is printed here.
"""

import random
import threading
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from pyfio_virtio.disk.disk import Disk
from pyfio_virtio.disk.operations import Operations
from pyfio_virtio.errors import UsageError
from pyfio_virtio.sizes import format_size

DEFAULT_PIECE_BYTES = 4096
DEFAULT_FULL_PIECE_BYTES = 1 << 20
# Of one thread, when it does not wait for each operation.
IN_FLIGHT = 64

# Gets the number of bytes done since it was last called.
Progress = Callable[[int], None]

# ---- what is written ---------------------------------------------------------------------------


class Content(Protocol):
    """What belongs where on the disk: it depends on nothing but the offset."""

    def at(self, offset: int, size: int) -> bytes: ...


@dataclass(frozen=True)
class Offsets:
    """Each eight bytes hold their own offset, so that misplaced ones tell where they belong."""

    # No word is zero, which is what a disk that lost it would show.
    mark: int = 0x5AFE_0000_0000_0000

    def at(self, offset: int, size: int) -> bytes:
        first = offset // 8
        words = array("Q", (self.mark ^ 8 * i for i in range(first, -(-(offset + size) // 8))))
        return words.tobytes()[offset - 8 * first :][:size]


@dataclass(frozen=True)
class Pattern:
    """The same bytes again and again, from the disk's first byte on."""

    pattern: bytes

    def at(self, offset: int, size: int) -> bytes:
        skip = offset % len(self.pattern)
        return (self.pattern * ((skip + size) // len(self.pattern) + 1))[skip:][:size]


@dataclass(frozen=True)
class Random:
    """Bytes that look random and follow from a seed."""

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
    """`first` is where the pieces begin; `size` is of them all."""

    first: int
    size: int
    piece_bytes: int
    content: Content
    threads: int = 1
    is_async: bool = False
    only_reads: bool = False

    def check(self, disk_bytes: int) -> None:
        if self.first + self.size > disk_bytes:
            raise UsageError(
                f"{self.size} bytes at {self.first} do not fit",
                f"the disk has {disk_bytes} ({format_size(disk_bytes)})",
                "take fewer iterations, or smaller ones",
            )

    def pieces(self, thread: int) -> list[Piece]:
        """Those of one thread: every so many-th."""
        end = self.first + self.size
        starts = range(self.first, end, self.piece_bytes)[thread :: self.threads]
        return [Piece(start, min(self.piece_bytes, end - start)) for start in starts]

    @property
    def work_bytes(self) -> int:
        """What Progress adds up to."""
        return self.size if self.only_reads else 2 * self.size


# ---- what was found ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """One block, as far as it was to be written, and what was read of it."""

    number: int
    offset: int  # of its first byte that was to be written
    expected: bytes
    found: bytes

    @property
    def wrong(self) -> list[int]:
        """Places in `found` that should be otherwise."""
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
    """As it is now; None if it was not to be written."""
    first = max(plan.first, number * disk.block_size)
    size = min(plan.first + plan.size, (number + 1) * disk.block_size) - first
    if size <= 0:
        return None
    return Block(number, first, plan.content.at(first, size), disk.pread(size, first))


# ---- carrying it out -----------------------------------------------------------------------------


class _Run:
    """What the threads of a run share."""

    def __init__(self, disk: Disk, plan: Plan, progress: Progress) -> None:
        self.disk = disk
        self.content = plan.content
        self.piece_bytes = plan.piece_bytes
        self._progress = progress
        self._lock = threading.Lock()
        self._wrong: list[int] = []  # offsets of the first wrong byte of pieces

    def compare(self, piece: Piece, found: memoryview) -> None:
        expected = self.content.at(piece.offset, piece.size)
        with self._lock:
            if found != expected:
                place = next(i for i, byte in enumerate(expected) if byte != found[i])
                self._wrong.append(piece.offset + place)
            self._progress(piece.size)

    @property
    def first_wrong(self) -> int | None:
        with self._lock:
            return min(self._wrong, default=None)


def run(disk: Disk, plan: Plan, progress: Progress = lambda size: None) -> Difference | None:
    """None if all is as it was written; else it ends with the first that is not."""
    plan.check(disk.size)
    shared = _Run(disk, plan, progress)
    work = _in_flight if plan.is_async else _one_by_one
    for writes in (False,) if plan.only_reads else (True, False):
        with ThreadPoolExecutor(plan.threads) as pool:
            pieces = [plan.pieces(thread) for thread in range(plan.threads)]
            for thread in [pool.submit(work, shared, mine, writes) for mine in pieces]:
                thread.result()
        if shared.first_wrong is not None:
            return _difference(disk, plan, shared.first_wrong)
    return None


def _one_by_one(shared: _Run, pieces: Sequence[Piece], writes: bool) -> None:
    whole = shared.disk.alloc(shared.piece_bytes)
    for piece in pieces:
        if shared.first_wrong is not None:
            return
        buffer = whole[: piece.size]
        if writes:
            buffer[:] = shared.content.at(piece.offset, piece.size)
            shared.disk.pwrite(buffer, piece.offset)
        buffer[:] = bytes(piece.size)
        shared.disk.preadv([buffer], piece.offset)
        shared.compare(piece, buffer)


def _in_flight(shared: _Run, pieces: Sequence[Piece], writes: bool) -> None:
    buffers = [shared.disk.alloc(shared.piece_bytes) for _ in pieces[:IN_FLIGHT]]
    with shared.disk.operations() as operations:
        for first in range(0, len(pieces), IN_FLIGHT):
            if shared.first_wrong is not None:
                return
            some = zip(pieces[first : first + IN_FLIGHT], buffers, strict=False)
            batch = [(piece, buffer[: piece.size]) for piece, buffer in some]
            _carry_out(shared, operations, batch, writes)


def _carry_out(
    shared: _Run, operations: Operations, batch: Sequence[tuple[Piece, memoryview]], writes: bool
) -> None:
    if writes:
        for piece, buffer in batch:
            buffer[:] = shared.content.at(piece.offset, piece.size)
            operations.write(buffer, piece.offset)
        _collect(operations)
    for piece, buffer in batch:
        buffer[:] = bytes(piece.size)
        operations.read(buffer, piece.offset)
    _collect(operations)
    for piece, buffer in batch:
        shared.compare(piece, buffer)


def _collect(operations: Operations) -> None:
    """All of them; if some take too long, completed() says so."""
    while len(operations):
        operations.completed(len(operations))
        while (done := operations.get_completed()) is not None:
            done.check()
