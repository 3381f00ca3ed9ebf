# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about messages: replies that are wrong, short, late, too long, or that bring files."""

import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress

from tests.backend.file_kinds import KINDS
from tests.engine.blk_backend import INFLIGHT, MEM_SLOTS, PROTOCOL
from tests.engine.lies.disk import Disk, Lie, ReplyLie, framed
from tests.engine.scripted_backend import REPLY, U64, VERSION, Connection, Message, wait_for_hang_up
from tests.vhost_numbers import Request

# ---- ways to answer ------------------------------------------------------------------------------


def sends(form: Callable[[Message, bytes], bytes], *, then_hangs_up: bool = False) -> ReplyLie:
    def answer(_: Disk, connection: Connection, asked: Message, right: bytes) -> None:
        connection.send(form(asked, right))
        if then_hangs_up:
            connection.stream.shutdown(1)

    return answer


def late(_: Disk, connection: Connection, asked: Message, right: bytes) -> None:
    """The program has given up by then."""
    wait_for_hang_up(connection)
    with suppress(ConnectionError):
        connection.send(framed(asked, right))


def with_files(kind: str, count: int) -> ReplyLie:
    """The answer is right, but brings files that nobody asked for."""

    def answer(_: Disk, connection: Connection, asked: Message, right: bytes) -> None:
        with ExitStack() as stack:
            connection.send(framed(asked, right), [KINDS[kind](stack)] * count)

    return answer


def in_bytes(_: Disk, connection: Connection, asked: Message, right: bytes) -> None:
    for byte in framed(asked, right):
        connection.send(bytes([byte]))


def hang_up(_: Disk, connection: Connection, __: Message, ___: bytes) -> None:
    connection.stream.shutdown(2)


def twice(_: Disk, connection: Connection, asked: Message, right: bytes) -> None:
    """The right answer, twice: the second one is taken for that of the next request."""
    connection.send(2 * framed(asked, right))


SHORT = sends(lambda asked, right: framed(asked, right[:-1]))
LONG = sends(lambda asked, right: framed(asked, right + b"x"))
OVERSIZED = sends(lambda asked, right: framed(asked, right, size=0xFFFFFFFF))
EMPTY = sends(lambda asked, _: framed(asked, b""))
OTHER = sends(lambda asked, right: framed(Message(asked.request + 64, 0, b""), right))
NO_REPLY = sends(lambda asked, right: framed(asked, right, flags=VERSION))
VERSION_0 = sends(lambda asked, right: framed(asked, right, flags=REPLY))
VERSION_3 = sends(lambda asked, right: framed(asked, right, flags=REPLY | 3))
NOISE = sends(lambda _, __: bytes(range(200, 256)))
HALF_HEADER = sends(lambda asked, right: framed(asked, right)[:7], then_hangs_up=True)
HALF_PAYLOAD = sends(lambda asked, right: framed(asked, right)[:-1], then_hangs_up=True)
REFUSED = sends(lambda asked, _: framed(asked, U64.pack(22)))

# ---- the rows ------------------------------------------------------------------------------------

# A record of requests in flight in one of these could not be mapped for writing.
UNFIT = ("full pipe", "stream socket", "/dev/zero", "folder", "read-only memory", "eventfd")
# Regions are announced in a table.
TABLE = {"protocol": PROTOCOL & ~MEM_SLOTS}

QUESTIONS = (
    Request.GET_FEATURES,
    Request.GET_PROTOCOL_FEATURES,
    Request.GET_MAX_MEM_SLOTS,
    Request.GET_CONFIG,
    Request.GET_QUEUE_NUM,
    Request.GET_STATUS,
)
# They are answered because REPLY_ACK was agreed on.
ORDERS = (
    Request.SET_OWNER,
    Request.SET_STATUS,
    Request.SET_FEATURES,
    Request.ADD_MEM_REG,
    Request.SET_MEM_TABLE,
    Request.SET_VRING_NUM,
    Request.SET_VRING_BASE,
    Request.SET_VRING_ADDR,
    Request.SET_VRING_CALL,
    Request.SET_VRING_KICK,
    Request.SET_VRING_ENABLE,
)
# What the reply to a message is, how it is made, and what the program reads.
Way = tuple[str, ReplyLie, str]
EVERY_REPLY: tuple[Way, ...] = (
    ("no reply and a hang-up", hang_up, "the back-end hung up at {name}"),
    ("a reply a byte short", SHORT, "the back-end answered {name} with "),
    ("a reply of 4 GiB", OVERSIZED, "answered {name} with 4294967295 bytes instead of "),
    ("a reply to another message", OTHER, "answered {name} with request number "),
    ("half a header", HALF_HEADER, "the back-end hung up at {name}"),
    ("a reply too late", late, "did not answer {name} in time"),
    ("the reply twice", twice, " with request number "),
)
EVERY_ORDER: tuple[Way, ...] = (
    ("a refusal", REFUSED, "the back-end refused {name} (it answered 22)"),
)
# How a reply is read depends only on its form, so there is one message of each form.
FORMS = (Request.GET_FEATURES, Request.GET_CONFIG, Request.SET_FEATURES)
EVERY_FORM: tuple[Way, ...] = (
    ("a reply a byte long", LONG, "answered {name} with "),
    ("an empty reply", EMPTY, "answered {name} with 0 bytes instead of "),
    ("a reply without its flag", NO_REPLY, "answered {name} with flags 0x1, not a reply"),
    ("a reply of version 0", VERSION_0, "answered {name} with flags 0x4, not a reply"),
    ("a reply of version 3", VERSION_3, "answered {name} with flags 0x7, not a reply"),
    ("noise", NOISE, "answered {name} with request number "),
    ("a payload that is cut", HALF_PAYLOAD, "the back-end hung up at {name}"),
    ("a reply byte by byte", in_bytes, ""),
    ("a pipe with the reply", with_files("full pipe", 1), ""),
    ("8 files with the reply", with_files("file", 8), ""),
    ("40 folders with the reply", with_files("folder", 40), ""),
    ("250 eventfds with the reply", with_files("eventfd", 250), ""),
)
# When the program detaches the disk, it has nothing to read any more.
EVERY_END: tuple[Way, ...] = tuple((says, reply, "") for says, reply, _ in EVERY_REPLY)


def rows(requests: tuple[Request, ...], ways: tuple[Way, ...]) -> list[Lie]:
    return [
        Lie(
            request.name,
            says,
            then.format(name=request.name),
            reply=(request, reply),
            told=TABLE if request == Request.SET_MEM_TABLE else {},
            is_awaited=reply is late,
        )
        for request in requests
        for says, reply, then in ways
    ]


# While the rings run, of a region more.
LATER: tuple[Way, ...] = tuple(
    way for way in (*EVERY_REPLY, *EVERY_ORDER) if way[1] not in (late, twice)
)
LATER_LIES = [
    Lie(
        "the second ADD_MEM_REG",
        says,
        then.format(name="ADD_MEM_REG"),
        "alloc",
        reply=(Request.ADD_MEM_REG, reply),
        nth=2,
    )
    for says, reply, then in LATER
]

AREA = struct.Struct("=QQHHI")  # bytes, offset, queues, entries, padding
MEMORY_FILE = 1 << 22  # the bytes of the kind memory


def record(bytes_: int, offset: int, *kinds: str) -> ReplyLie:
    """The record of requests in flight, with a file of each of the kinds."""

    def answer(_: Disk, connection: Connection, asked: Message, __: bytes) -> None:
        with ExitStack() as stack:
            fds = [KINDS[kind](stack) for kind in kinds]
            connection.send(framed(asked, AREA.pack(bytes_, offset, 1, 128, 0)), fds)

    return answer


RECORDS = [
    Lie(
        "GET_INFLIGHT_FD",
        says,
        "answered GET_INFLIGHT_FD with ",
        reply=(Request.GET_INFLIGHT_FD, reply),
        told={"protocol": PROTOCOL | INFLIGHT},
    )
    for says, reply in (
        ("no file", record(4096, 0)),
        ("two files", record(4096, 0, "memory", "memory")),
        *((f"a file of the kind {kind}", record(4096, 0, kind)) for kind in KINDS if kind in UNFIT),
        ("no bytes", record(0, 0, "memory")),
        ("a byte more than the file has", record(MEMORY_FILE + 1, 0, "memory")),
        ("2^64 - 1 bytes", record((1 << 64) - 1, 0, "memory")),
        ("an offset of no whole page", record(4096, 100, "memory")),
        ("an offset at the end", record(4096, MEMORY_FILE, "memory")),
        ("an offset of 2^64 - 4096", record(8192, (1 << 64) - 4096, "memory")),
        ("a short reply", SHORT),
    )
]

LIES = [
    *RECORDS,
    *LATER_LIES,
    *rows((*QUESTIONS, *ORDERS), EVERY_REPLY),
    *rows(ORDERS, EVERY_ORDER),
    *rows(FORMS, EVERY_FORM),
    *rows((Request.GET_VRING_BASE,), EVERY_END),
]
