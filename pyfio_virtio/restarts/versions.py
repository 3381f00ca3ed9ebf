# SPDX-License-Identifier: GPL-2.0-or-later
"""Blocks that say which write they come from, and the record of the writes that were acknowledged.

A Content makes the bytes of a block from its number and a version, which counts its writes. It
finds out which versions a block holds that was read. A Record knows for each block the last version
that was submitted and the last that was acknowledged. judge() compares the two. A block has at most
one operation in flight, so its writes have an order. Pure; a Record is used by one thread.
"""

import enum
import struct
from array import array
from hashlib import blake2b
from typing import NamedTuple

# The run, the number of the block, its version. The rest of a unit is their checksum.
_HEAD = struct.Struct("<8sQQ")
# Units follow each other through a block. Their size is a prime, so they begin at another place in
# each of 67 sectors, and a sector in the place of another one of its block is noticed.
UNIT_BYTES = 67
_SUM_BYTES = UNIT_BYTES - _HEAD.size


class Verdict(enum.Enum):
    """What a read found."""

    RIGHT = "right"
    OLDER = "older"  # an earlier write of this block, although a later one was acknowledged
    LOST = "lost"  # nothing of this block
    TORN = "torn"  # parts of several writes, or of something else
    NEWER = "newer"  # a write that was not submitted yet


class Window(NamedTuple):
    """The versions that a block may hold: the last one that was acknowledged, and the writes after
    it whose results are unknown."""

    acknowledged: int
    submitted: int


class Content:
    """The blocks of one run. `run` is 8 bytes that no other run has, so that no data of an earlier
    run is taken for data of this one. The disk writes `sector_bytes` at once."""

    def __init__(self, run: bytes, block_bytes: int, sector_bytes: int) -> None:
        self.block_bytes = block_bytes
        self._sector_bytes = sector_bytes
        self._run = run
        self._count = -(-block_bytes // UNIT_BYTES)

    def make(self, number: int, version: int) -> bytes:
        head = _HEAD.pack(self._run, number, version)
        unit = head + blake2b(head, digest_size=_SUM_BYTES).digest()
        return (unit * self._count)[: self.block_bytes]

    def versions(self, number: int, data: bytes) -> list[int | None]:
        """The version of each sector of a block that was read; None: nothing of this block."""
        step = self._sector_bytes
        return [self._version(number, data, at, at + step) for at in range(0, len(data), step)]

    def _version(self, number: int, data: bytes, start: int, end: int) -> int | None:
        whole = -(-start // UNIT_BYTES) * UNIT_BYTES  # where the first whole unit begins
        _, _, version = _HEAD.unpack_from(data, whole)
        is_right = data[start:end] == self.make(number, version)[start:end]
        return int(version) if is_right else None

    def judge(self, number: int, data: bytes, window: Window) -> Verdict:
        if data == self.make(number, window.submitted):
            return Verdict.RIGHT
        if not window.acknowledged:
            return Verdict.RIGHT  # nobody knows what the block held before
        found = set(self.versions(number, data))
        if found == {None}:
            return Verdict.LOST
        versions = [each for each in found if each is not None]
        is_known = len(versions) == len(found)
        if is_known and window.acknowledged <= min(versions) and max(versions) <= window.submitted:
            # Several: a disk may carry out a part of a write that it does not acknowledge.
            return Verdict.RIGHT
        if len(found) > 1:
            return Verdict.TORN
        return Verdict.OLDER if versions[0] < window.acknowledged else Verdict.NEWER

    def describe(self, number: int, data: bytes, window: Window) -> str:
        """What was found in a block that is not right."""
        found = list(dict.fromkeys(self.versions(number, data)))
        words = "it holds " + " and ".join(
            f"write {each}" if each else "other data" for each in found
        )
        if not any(data):
            words = "it holds zeroes"
        elif found == [None]:
            words = f"it holds {self._foreign(data)}"
        return f"{words}, and write {window.acknowledged} was acknowledged"

    def _foreign(self, data: bytes) -> str:
        run, other, version = _HEAD.unpack_from(data)
        if run == self._run and data == self.make(other, version):
            return f"write {version} of block {other}"
        return "data of somebody else"


class Record:
    """The versions of some blocks, which are counted from 0 here."""

    def __init__(self, count: int) -> None:
        self._acknowledged = array("Q", bytes(8 * count))
        self._submitted = array("Q", bytes(8 * count))

    def __len__(self) -> int:
        return len(self._submitted)

    def begin_write(self, block: int) -> int:
        """The version of the write that is submitted now."""
        self._submitted[block] += 1
        return self._submitted[block]

    def acknowledge(self, block: int) -> None:
        """The write that was submitted last has succeeded."""
        self._acknowledged[block] = self._submitted[block]

    def window(self, block: int) -> Window:
        return Window(self._acknowledged[block], self._submitted[block])
