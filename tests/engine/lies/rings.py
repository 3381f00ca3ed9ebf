# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about what a back-end does while a read is in flight, to rings, files and the socket.

Each lie comes in place of the completion of the first read, or in front of it.
"""

import fcntl
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.backend.file_kinds import FULL, make_blocking
from tests.engine.blk_backend import BLK_FEATURES, EVENT_IDX, INDIRECT
from tests.engine.lies.disk import Lie, Reach
from tests.engine.ring_device import NO_NOTIFY, U16
from tests.engine.scripted_backend import HEADER, REPLY, U64, VERSION
from tests.engine.scsi_backend import memory
from tests.engine.shared_object import ffi
from tests.vhost_numbers import Request

NOT_IN_FLIGHT = "the back-end's used ring names a descriptor that is not in flight"
TOO_MANY = "the back-end's used ring holds more elements than were submitted"
HUNG_UP = "the back-end hung up, so its requests in flight fail"
TIMED_OUT = "the back-end did not complete a read of 5000 bytes at 700 within 400 ms"
# The rest of the program's requests find a disk that does nothing any more.
UNSERVED: dict[str, Any] = {
    "then": "did not complete a write of 4096 bytes at 8192",
    "at": "write",
    "is_awaited": True,
}
# What nobody asked for is taken for the next reply.
UNASKED = {"then": "answered ADD_MEM_REG with request number ", "at": "alloc"}
U32 = 0xFFFFFFFF
DIRECT = {"features": BLK_FEATURES & ~INDIRECT}
NO_EVENT_IDX = {"features": BLK_FEATURES & ~EVENT_IDX}


def then_completes(act: Callable[[Reach], object]) -> Callable[[Reach], bool]:
    def lie(reach: Reach) -> bool:
        act(reach)
        return True

    return lie


def calls(reach: Reach) -> None:
    os.eventfd_write(reach.disk.call_fd, 1)


def moves_used(by: int) -> Callable[[Reach], None]:
    def lie(reach: Reach) -> None:
        reach.ring.used_idx += by
        calls(reach)

    return lie


def names(choose: Callable[[Reach], int]) -> Callable[[Reach], None]:
    def lie(reach: Reach) -> None:
        reach.put(choose(reach))
        calls(reach)

    return lie


def says_length(length: int) -> Callable[[Reach], None]:
    def lie(reach: Reach) -> None:
        reach.put(length=length)
        calls(reach)

    return lie


def says_status(value: int) -> Callable[[Reach], bool]:
    return then_completes(lambda reach: reach.status(value))


def twice(reach: Reach) -> None:
    reach.put()
    reach.put()
    calls(reach)


def nothing(_: Reach) -> None:
    """Never completes the read."""


def without_a_call(reach: Reach) -> None:
    reach.put()


def sets_flags(flags: int) -> Callable[[Reach], bool]:
    def act(reach: Reach) -> None:
        reach.ring.used[0] = flags

    return then_completes(act)


def sets_event(ahead: int) -> Callable[[Reach], bool]:
    return then_completes(lambda r: r.ring.set_avail_event(r.ring.avail_next + ahead))


# ---- shared memory -------------------------------------------------------------------------------


def parts(reach: Reach) -> dict[str, memoryview]:
    desc, used, avail = reach.disk.addresses
    size = reach.ring.size
    return {
        "descriptors": memory(desc, 16 * size),
        "avail": memory(avail, 6 + 2 * size),
        "used": memory(used, 6 + 8 * size),
        # The areas of requests and responses, and the indirect tables, follow the used ring.
        "areas": memory(used + 6 + 8 * size, 512),
    }


def overwrites(*which: str, byte: int = 0xFF) -> Callable[[Reach], None]:
    """Nothing but this disk reads the ring after that: its addresses lead nowhere."""

    def lie(reach: Reach) -> None:
        reach.disk.end()
        all_parts = parts(reach)
        for name in which:
            all_parts[name][:] = bytes([byte]) * len(all_parts[name])
        if "used" not in which:
            reach.put()
        calls(reach)

    return lie


def overwrites_all(reach: Reach) -> None:
    reach.disk.end()
    for address, size in reach.disk.known:
        ffi.memmove(ffi.cast("char *", address), b"\xff" * size, size)
    calls(reach)


# ---- files ---------------------------------------------------------------------------------------


def fill_up(fd: int) -> None:
    with suppress(BlockingIOError):
        os.eventfd_read(fd)
    os.eventfd_write(fd, FULL)


def fills_kick(reach: Reach) -> None:
    fill_up(reach.disk.kick_fd)


def blocks_kick(reach: Reach) -> None:
    fill_up(reach.disk.kick_fd)
    make_blocking(reach.disk.kick_fd)


def blocks_call(reach: Reach) -> None:
    fill_up(reach.disk.call_fd)
    make_blocking(reach.disk.call_fd)


def makes_call_wait(reach: Reach) -> None:
    make_blocking(reach.disk.call_fd)


def calls_for_ever(reach: Reach) -> None:
    while not reach.disk.is_over:
        with suppress(BlockingIOError):
            calls(reach)


def kicks_itself(reach: Reach) -> None:
    os.eventfd_write(reach.disk.kick_fd, 1 << 40)


def memory_files(reach: Reach) -> list[int]:
    messages = reach.disk.all_of(Request.ADD_MEM_REG)
    return [fd for message in messages for fd in message.fds]


def cuts_memory(reach: Reach) -> None:
    for fd in memory_files(reach):
        with suppress(PermissionError):  # it is sealed
            os.ftruncate(fd, 0)


def grows_memory(reach: Reach) -> None:
    for fd in memory_files(reach):
        with suppress(PermissionError):
            os.ftruncate(fd, 1 << 40)


def seals_memory(reach: Reach) -> None:
    for fd in memory_files(reach):
        with suppress(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def punches_holes(reach: Reach) -> None:
    """All shared memory becomes zeroes."""
    reach.disk.end()
    for fd in memory_files(reach):
        with mmap.mmap(fd, os.fstat(fd).st_size) as whole:
            whole.madvise(mmap.MADV_REMOVE)
    calls(reach)


# ---- the socket ----------------------------------------------------------------------------------


def hangs_up(reach: Reach) -> None:
    reach.disk.hang_up()


def says_something(reach: Reach) -> None:
    reach.disk.send(HEADER.pack(Request.GET_FEATURES, VERSION | REPLY, 8) + U64.pack(0))


def sends_files(reach: Reach) -> None:
    reach.disk.send(b"x", [0] * 200)


def sends_lingering(reach: Reach) -> None:
    reach.disk.send_lingering(b"x")


def hides_lingering(reach: Reach) -> None:
    says_something(reach)
    reach.disk.send_lingering(b"x")


def says_very_much(reach: Reach) -> None:
    reach.disk.send(bytes(1 << 16))


# ---- the rows ------------------------------------------------------------------------------------


def lie(about: str, says: str, act: Callable[[Reach], Any], then: str = "", **fields: Any) -> Lie:  # noqa: ANN401
    return Lie(about, says, then, fields.pop("at", "read"), ring=act, **fields)


USED_LIES = [
    lie("used.idx", "ahead of its element, which names the request", moves_used(1)),
    lie("used.idx", "two ahead", moves_used(2), TOO_MANY),
    lie("used.idx", "one back", moves_used(-1), TOO_MANY),
    lie("used.idx", "four ahead", moves_used(4), TOO_MANY),
    lie("used.idx", "a whole ring ahead", moves_used(128), TOO_MANY),
    lie("used.idx", "2^15 ahead", moves_used(0x8000), TOO_MANY),
    lie("used.idx", "2^16 - 2 ahead", moves_used(U16 - 1), TOO_MANY),
    lie("used.id", "a chain that is not in flight", names(lambda r: r.head ^ 1), NOT_IN_FLIGHT),
    lie("used.id", "the last descriptor", names(lambda r: r.ring.size - 1), NOT_IN_FLIGHT),
    lie("used.id", "the size of the ring", names(lambda r: r.ring.size), NOT_IN_FLIGHT),
    lie("used.id", "2^16 more", names(lambda r: r.head + (1 << 16)), NOT_IN_FLIGHT),
    lie("used.id", "2^31 more", names(lambda r: r.head + (1 << 31)), NOT_IN_FLIGHT),
    lie("used.id", "2^32 - 1", names(lambda _: U32), NOT_IN_FLIGHT),
    lie("used.id", "inside a chain", names(lambda r: r.head + 1), NOT_IN_FLIGHT, told=DIRECT),
    lie("used.id", "another chain", names(lambda r: r.head + 128), NOT_IN_FLIGHT, told=DIRECT),
    lie("used.id", "the same twice", twice, TOO_MANY),
    lie("used.len", "0", says_length(0)),
    lie("used.len", "a byte less", says_length(5632)),
    lie("used.len", "a byte more than there is", says_length(5634)),
    lie("used.len", "2^31", says_length(1 << 31)),
    lie("used.len", "2^32 - 1", says_length(U32)),
    lie("status", "1", says_status(1), "reports an I/O error for a read"),
    lie("status", "2", says_status(2), "does not support a read"),
    lie("status", "3", says_status(3), "with the unknown status 3"),
    lie("status", "254", says_status(254), "with the unknown status 254"),
    lie("status", "none", says_status(255), "without a status"),
    lie("used", "all ones", overwrites("used"), TOO_MANY),
    lie("used", "all zeroes", overwrites("used", byte=0), TOO_MANY),
    lie("used.flags", "NO_NOTIFY for ever", sets_flags(NO_NOTIFY), told=NO_EVENT_IDX),
    lie("used.flags", "all ones", sets_flags(U16), told=NO_EVENT_IDX),
    lie("avail_event", "far ahead", sets_event(0x8000)),
    lie("avail_event", "far behind", sets_event(0x7FFF)),
    lie("avail_event", "the one that was just passed", sets_event(U16)),
]
MEMORY_LIES = [
    lie("descriptors", "all ones", overwrites("descriptors"), **UNSERVED),
    lie("avail", "all ones", overwrites("avail"), **UNSERVED),
    lie("avail", "all zeroes", overwrites("avail", byte=0), **UNSERVED),
    lie(
        "request and response", "all ones", overwrites("areas"), "without a status", is_awaited=True
    ),
    lie("shared memory", "all ones", overwrites_all, TOO_MANY),
    lie("shared memory", "holes everywhere", punches_holes, TOO_MANY),
    lie("memory file", "is cut to nothing", then_completes(cuts_memory)),
    lie("memory file", "grows to a tebibyte", then_completes(grows_memory)),
    lie("memory file", "is sealed", then_completes(seals_memory)),
]
FILE_LIES = [
    lie(
        "kick eventfd", "is full and makes us wait", then_completes(blocks_kick), told=NO_EVENT_IDX
    ),
    lie("kick eventfd", "is full", then_completes(fills_kick), told=NO_EVENT_IDX),
    lie("kick eventfd", "is kicked by the back-end", then_completes(kicks_itself)),
    lie("call eventfd", "is full and makes us wait", then_completes(blocks_call)),
    lie("call eventfd", "makes us wait", then_completes(makes_call_wait)),
    lie("call eventfd", "is called for nothing", calls_for_ever, TIMED_OUT, is_awaited=True),
]
SOCKET_LIES = [
    lie("socket", "a hang-up", hangs_up, HUNG_UP),
    lie("socket", "a reply to nothing", then_completes(says_something), **UNASKED),
    lie("socket", "64 KiB of zeroes", then_completes(says_very_much), **UNASKED),
    lie("socket", "200 files", then_completes(sends_files), **UNASKED),
    lie("socket", "a socket that lingers", then_completes(sends_lingering), **UNASKED),
    lie("socket", "one that lingers and is not read", then_completes(hides_lingering), **UNASKED),
    lie("completion", "never comes", nothing, TIMED_OUT, is_awaited=True),
    lie("completion", "without a call", without_a_call, ""),
]
LIES = [*USED_LIES, *MEMORY_LIES, *FILE_LIES, *SOCKET_LIES]
