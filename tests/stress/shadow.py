# SPDX-License-Identifier: GPL-2.0-or-later
"""What memory and disk must hold, for disk_stress.py: a shadow copy of all that one thread uses.

A buffer has one byte value in all of its bytes, except in the part that a read was asked to fill.
While a read is in flight, that part is the library's. After a read has failed, the library may keep
shared memory, so this thread drops the buffer, which frees it, and fills another one at once.

A place on the disk has one value in all of its bytes, or one of several where a write failed,
because the back-end may still carry it out.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from pyfio_virtio.errors import DiskError

Memory = memoryview | bytearray
Alloc = Callable[[int], memoryview]
# The part of a buffer that a read or a write uses begins here, so what is before it and behind it
# shows whether more than that part is written.
MARGIN = 512


class ShadowError(AssertionError):
    """A byte changed that nobody asked to change."""


@dataclass(eq=False)
class Buffer:
    memory: Memory
    value: int
    is_shared: bool

    @property
    def part(self) -> memoryview:
        return memoryview(self.memory)[MARGIN:-MARGIN]

    @property
    def kind(self) -> str:
        return "a shared" if self.is_shared else "another"

    def fill(self, value: int) -> None:
        self.memory[:] = bytes([value]) * len(self.memory)
        self.value = value

    def check(self) -> None:
        if bytes(self.memory) != bytes([self.value]) * len(self.memory):
            others = _others(self.memory, {self.value})
            raise ShadowError(f"{self.kind} buffer of {self.value}s: {others}")

    def check_margins(self) -> None:
        for margin in (self.memory[:MARGIN], self.memory[-MARGIN:]):
            if bytes(margin) != bytes([self.value]) * MARGIN:
                raise ShadowError(f"outside of a read: {_others(margin, {self.value})}")


@dataclass(eq=False)
class Place:
    """Bytes of the disk that only one thread uses."""

    offset: int
    size: int
    values: set[int] = field(default_factory=lambda: {0})
    # Writes that are in flight, or failed so that the back-end may still carry them out.
    unsettled: int = 0
    # What was written since there were none.
    begun: set[int] = field(default_factory=set)
    # What each read that is in flight may find.
    reads: list[set[int]] = field(default_factory=list)

    def begin(self, value: int) -> None:
        if not self.unsettled:
            self.begun = set()
        self.begun.add(value)
        for each in (self.values, *self.reads):
            each.add(value)
        self.unsettled += 1

    def succeeded(self) -> None:
        """A write that began has succeeded. Those that overlapped it may have come last."""
        self.unsettled -= 1
        if not self.unsettled:
            self.values = set(self.begun)

    def begin_read(self) -> set[int]:
        self.reads.append(set(self.values))
        return self.reads[-1]

    def end_read(self, expected: set[int], data: Memory | None) -> None:
        """`expected` is what begin_read() returned; `data` is None if the read failed."""
        self.reads = [each for each in self.reads if each is not expected]
        if data is not None and (others := _others(data, expected)):
            raise ShadowError(f"at {self.offset} of the disk: {others}, not {expected}")


def _others(data: Memory, expected: set[int]) -> str:
    found = sorted(set(bytes(data)) - expected)
    return f"other bytes: {found[:8]}" if found else ""


class Shadow:
    """The buffers of one thread."""

    def __init__(self, draw: random.Random, alloc: Alloc) -> None:
        self._draw = draw
        self._alloc = alloc
        self._mine: list[Buffer] = []

    def take(self, size: int) -> Buffer:
        """A buffer with a part of `size` bytes, which is the caller's until give()."""
        for buffer in self._mine:
            if len(buffer.part) == size and self._draw.random() < 0.5:
                self._mine.remove(buffer)
                buffer.check()
                return buffer
        return self._new(size)

    def _new(self, size: int) -> Buffer:
        memory: Memory = bytearray(size + 2 * MARGIN)
        is_shared = self._draw.random() < 0.7
        if is_shared:
            try:
                memory = self._alloc(size + 2 * MARGIN)
            except DiskError:  # back-ends that do not answer have too much of it, or it is closed
                is_shared = False
        buffer = Buffer(memory, 0, is_shared)
        buffer.fill(self._draw.randrange(1, 256))
        return buffer

    def give(self, buffer: Buffer) -> None:
        """Takes a buffer back, all of which is the program's again."""
        buffer.fill(self._draw.randrange(1, 256))
        self._mine.append(buffer)
        if len(self._mine) > 24:
            del self._mine[self._draw.randrange(len(self._mine))]

    def give_up(self, buffer: Buffer) -> None:
        """After a failed operation: drops shared memory, and uses what is freed by that."""
        size = len(buffer.part)
        if not buffer.is_shared:
            self.give(buffer)
            return
        del buffer
        self.give(self._new(size))

    def check(self) -> None:
        for buffer in self._mine:
            buffer.check()
