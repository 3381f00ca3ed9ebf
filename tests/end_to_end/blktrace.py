# SPDX-License-Identifier: GPL-2.0-or-later
"""Binary logs of block I/O, as the program blktrace writes them and fio's read_iolog= replays them.

`trace(actions)` is the content of such a file: `queued(...)` begins a request, `completed(...)`
ends one. fio takes the largest number of requests that were open together for iodepth, and the
largest size for bs. All actions are of one device, which this machine does not have: a replay needs
replay_redirect=.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

SECTOR = 512
READ, WRITE, FLUSH, DISCARD = (1 << bit << 16 for bit in (0, 1, 2, 13))
_MAGIC = 0x65617400 | 7  # version 7
_QUEUE, _COMPLETE = 1, 8
_DEVICE = 700 << 20 | 1
_RECORD = struct.Struct("=IIQQIIIIIHH")


@dataclass(frozen=True)
class Action:
    what: int
    offset: int = 0
    size: int = 0


def queued(way: int, offset: int = 0, size: int = 0) -> Action:
    return Action(_QUEUE | way, offset, size)


def completed(way: int) -> Action:
    return Action(_COMPLETE | way)


def at_once(way: int, size: int, count: int, first: int = 0) -> list[Action]:
    """`count` requests of `size` bytes, one behind the other on the disk, all open together."""
    begun = [queued(way, first + index * size, size) for index in range(count)]
    return [*begun, completed(way)]


def trace(actions: Iterable[Action]) -> bytes:
    """All of it happens at one time, in this order."""
    return b"".join(_record(number, action) for number, action in enumerate(actions))


def _record(number: int, action: Action) -> bytes:
    time_ns, pid, cpu, error, more_bytes = 1, 1, 0, 0, 0
    where = (action.offset // SECTOR, action.size)
    return _RECORD.pack(
        _MAGIC, number, time_ns, *where, action.what, pid, _DEVICE, cpu, error, more_bytes
    )
