# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about a client's messages, and about the files that it sends with them."""

import os
import socket
import struct

from tests import waiting
from tests.backend import frontend as fe
from tests.backend.file_kinds import KINDS, send_lingering
from tests.backend.frontend import GUEST_BASE, USER_BASE, Frontend
from tests.backend.lies.client import MEMORY_BYTES, Act, Lie, Then, says, sends

CLOSED, REFUSED, TAKEN = Then.CLOSED, Then.REFUSED, Then.TAKEN
ALL = (1 << 64) - 1
U32 = 0xFFFFFFFF


def u64(value: int = 0) -> bytes:
    return struct.pack("<Q", value)


def state(index: int, number: int) -> bytes:
    return struct.pack("<II", index, number)


def config(offset: int, size: int, length: int) -> bytes:
    return struct.pack("<III", offset, size, 0) + bytes(length)


def inflight(bytes_: int, offset: int, queues: int, size: int) -> bytes:
    return struct.pack("<QQHH", bytes_, offset, queues, size)


def table(count: int, regions: int = 1) -> bytes:
    """A table that claims to have `count` regions."""
    region = struct.pack("<QQQQ", GUEST_BASE, 1 << 22, USER_BASE, 0)
    return struct.pack("<II", count, 0) + region * regions


def region(guest: int, size: int, user: int, offset: int = 0) -> bytes:
    return struct.pack("<QQQQQ", 0, guest, size, user, offset)


# ---- numbers in messages -------------------------------------------------------------------------

# The message, what is wrong, the payload, and the kinds of the files with it.
Told = tuple[int, str, str, bytes, tuple[str, ...]]


def told(request: int, about: str, wrong: str, payload: bytes = b"", *kinds: str) -> Told:
    return request, about, wrong, payload, kinds


ELSEWHERE = 1 << 40
BAD: list[Told] = [
    told(fe.SET_FEATURES, "SET_FEATURES", "bit 63", u64(1 << 63)),
    told(fe.SET_FEATURES, "SET_FEATURES", "all bits", u64(ALL)),
    told(fe.SET_FEATURES, "SET_FEATURES", "a short payload", bytes(7)),
    told(fe.SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES", "bit 63", u64(1 << 63)),
    told(fe.SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES", "no payload"),
    told(fe.SET_MEM_TABLE, "SET_MEM_TABLE", "9 regions", table(9, 8)),
    told(fe.SET_MEM_TABLE, "SET_MEM_TABLE", "2^32 - 1 regions", table(U32)),
    told(fe.SET_MEM_TABLE, "SET_MEM_TABLE", "2 regions in the space of one", table(2), "memory"),
    told(fe.SET_MEM_TABLE, "SET_MEM_TABLE", "no file", table(1)),
    told(fe.SET_MEM_TABLE, "SET_MEM_TABLE", "one file for two", table(2, 2), "memory"),
    told(fe.SET_MEM_TABLE, "SET_MEM_TABLE", "a region twice", table(2, 2), "memory", "memory"),
    told(fe.ADD_MEM_REG, "ADD_MEM_REG", "no file", region(ELSEWHERE, 4096, ELSEWHERE)),
    told(fe.ADD_MEM_REG, "ADD_MEM_REG", "a short payload", bytes(39), "memory"),
    *(
        told(fe.ADD_MEM_REG, "ADD_MEM_REG", wrong, region(*numbers), "memory")
        for wrong, numbers in {
            "no bytes": (ELSEWHERE, 0, ELSEWHERE),
            "2^40 bytes": (ELSEWHERE, 1 << 40, ELSEWHERE),
            "2^63 bytes": (0, 1 << 63, 0),
            "2^64 - 1 bytes": (0, ALL, 0),
            "a guest address that wraps": (ALL - 4095, 8192, ELSEWHERE),
            "a user address that wraps": (ELSEWHERE, 8192, ALL - 4095),
            "an offset of 2^63": (ELSEWHERE, 4096, ELSEWHERE, 1 << 63),
            "an offset of 2^64 - 4096": (ELSEWHERE, 8192, ELSEWHERE, ALL - 4095),
            "an offset at the end of the file": (ELSEWHERE, 4096, ELSEWHERE, 1 << 22),
            "guest addresses that overlap": (GUEST_BASE + 4096, 4096, ELSEWHERE),
            "user addresses that overlap": (ELSEWHERE, 4096, USER_BASE + 4096),
        }.items()
    ),
    told(fe.REM_MEM_REG, "REM_MEM_REG", "a region that is not there", region(0, 4096, 0)),
    told(fe.REM_MEM_REG, "REM_MEM_REG", "a short payload", bytes(8)),
    *(
        told(request, name, wrong, state(*numbers))
        for request, name in (
            (fe.SET_VRING_NUM, "SET_VRING_NUM"),
            (fe.SET_VRING_BASE, "SET_VRING_BASE"),
            (fe.SET_VRING_ENABLE, "SET_VRING_ENABLE"),
        )
        for wrong, numbers in {
            "queue 1 of 1": (1, 0),
            "queue 2^32 - 1": (U32, 0),
            "the number 2^32 - 1": (0, U32),
            "the number 2^16": (0, 1 << 16),
        }.items()
    ),
    told(fe.SET_VRING_NUM, "SET_VRING_NUM", "0", state(0, 0)),
    told(fe.SET_VRING_NUM, "SET_VRING_NUM", "63", state(0, 63)),
    told(fe.SET_VRING_NUM, "SET_VRING_NUM", "65", state(0, 65)),
    told(fe.SET_VRING_NUM, "SET_VRING_NUM", "a short payload", bytes(7)),
    told(fe.SET_VRING_ENABLE, "SET_VRING_ENABLE", "2", state(0, 2)),
    told(fe.SET_VRING_ADDR, "SET_VRING_ADDR", "queue 1 of 1", struct.pack("<I36x", 1)),
    told(fe.SET_VRING_ADDR, "SET_VRING_ADDR", "queue 2^32 - 1", struct.pack("<I36x", U32)),
    told(fe.SET_VRING_ADDR, "SET_VRING_ADDR", "a short payload", bytes(39)),
    *(
        told(request, name, wrong, payload, *kinds)
        for request, name in (
            (fe.SET_VRING_KICK, "SET_VRING_KICK"),
            (fe.SET_VRING_CALL, "SET_VRING_CALL"),
            (fe.SET_VRING_ERR, "SET_VRING_ERR"),
        )
        for wrong, payload, kinds in (
            ("no file", u64(), ()),
            ("queue 255", u64(255), ("eventfd",)),
            ("a short payload", bytes(7), ("eventfd",)),
        )
    ),
    told(fe.SET_CONFIG, "SET_CONFIG", "past the end of the space", config(250, 8, 8)),
    told(fe.SET_CONFIG, "SET_CONFIG", "an offset of 2^32 - 1", config(U32, 1, 1)),
    told(fe.SET_CONFIG, "SET_CONFIG", "2^32 - 1 bytes", config(0, U32, 8)),
    told(fe.SET_CONFIG, "SET_CONFIG", "more bytes than came", config(0, 200, 0)),
    told(fe.SET_CONFIG, "SET_CONFIG", "the capacity", config(0, 8, 8)),
    told(fe.SET_CONFIG, "SET_CONFIG", "a short payload", bytes(11)),
    *(
        told(fe.SET_INFLIGHT_FD, "SET_INFLIGHT_FD", wrong, inflight(*numbers), "memory")
        for wrong, numbers in {
            "no queue": (1 << 16, 0, 0, 64),
            "queues of no descriptor": (1 << 16, 0, 1, 0),
            "too few bytes": (64, 0, 1, 64),
            "more queues than bytes": (1 << 16, 0, 65535, 65535),
            "2^63 bytes": (1 << 63, 0, 1, 64),
            "2^64 - 1 bytes": (ALL, 0, 1, 64),
            "an offset of 2^64 - 1": (1 << 16, ALL, 1, 64),
            "an offset of no whole page": (1 << 16, 100, 1, 64),
            "an offset at the end of the file": (1 << 16, 1 << 22, 1, 64),
        }.items()
    ),
    told(fe.SET_INFLIGHT_FD, "SET_INFLIGHT_FD", "no file", inflight(1 << 16, 0, 1, 64)),
    told(fe.SET_INFLIGHT_FD, "SET_INFLIGHT_FD", "a short payload", bytes(19), "memory"),
    told(fe.SET_BACKEND_REQ_FD, "SET_BACKEND_REQ_FD", "no file"),
    told(fe.SET_STATUS, "SET_STATUS", "no payload"),
    told(6, "SET_LOG_BASE", "is not known", bytes(16), "memory"),
    told(0, "message 0", "is not known"),
    told(99, "message 99", "is not known", bytes(100), "eventfd"),
    told(U32, "message 2^32 - 1", "is not known"),
]


def untold(request: int, payload: bytes = b"", *kinds: str) -> Act:
    """Without NEED_REPLY, so that a refusal can only end the connection."""

    def act(client: Frontend) -> Then:
        client.protocol = 0
        says(request, payload, *kinds)(client)
        client.connection.receive()
        return Then.TAKEN

    return act


# ---- headers, halves and questions ---------------------------------------------------------------


def header(request: int, size: int, flags: int = 1) -> bytes:
    return struct.pack("<III", request, flags, size)


def asks(request: int, payload: bytes = b"") -> Act:
    """A question that cannot be answered."""

    def act(client: Frontend) -> Then:
        client.connection.send(request, payload)
        client.connection.receive()
        return Then.TAKEN

    return act


HEADERS = [
    Lie("header", wrong, CLOSED, sends(data))
    for wrong, data in {
        "version 0": header(fe.GET_FEATURES, 0, 0),
        "version 2": header(fe.GET_FEATURES, 0, 2),
        "version 3": header(fe.GET_FEATURES, 0, 3),
        "a reply": header(fe.GET_FEATURES, 0, 5),
        "4 GiB of payload": header(fe.GET_FEATURES, U32),
        "a byte more than any payload": header(fe.SET_MEM_TABLE, 269),
        "noise": bytes(range(200, 256)) * 8,
    }.items()
]
HALVES = [
    Lie(
        "half a message",
        f"{len(data)} bytes, with {kind or 'no file'}",
        Then.WAITED_FOR,
        sends(data, *kinds),
    )
    for data in (b"\1", header(fe.SET_VRING_KICK, 8)[:11], header(fe.SET_VRING_KICK, 8) + bytes(7))
    for kind, kinds in (("", ()), ("a pipe", ("full pipe",)), ("memory", ("memory",)))
]
QUESTIONS = [
    Lie("GET_VRING_BASE", "queue 1 of 1", CLOSED, asks(fe.GET_VRING_BASE, state(1, 0))),
    Lie("GET_VRING_BASE", "queue 2^32 - 1", CLOSED, asks(fe.GET_VRING_BASE, state(U32, 0))),
    Lie("GET_VRING_BASE", "a short payload", CLOSED, asks(fe.GET_VRING_BASE, bytes(7))),
    Lie("GET_CONFIG", "past the end of the space", CLOSED, asks(fe.GET_CONFIG, config(250, 8, 8))),
    Lie("GET_CONFIG", "an offset of 2^32 - 1", CLOSED, asks(fe.GET_CONFIG, config(U32, 1, 1))),
    Lie("GET_CONFIG", "2^32 - 1 bytes", CLOSED, asks(fe.GET_CONFIG, config(0, U32, 8))),
    Lie("GET_CONFIG", "no room for the answer", CLOSED, asks(fe.GET_CONFIG, config(0, 60, 0))),
    Lie("GET_CONFIG", "no payload", CLOSED, asks(fe.GET_CONFIG)),
    Lie("GET_INFLIGHT_FD", "no payload", CLOSED, asks(fe.GET_INFLIGHT_FD)),
    Lie("GET_INFLIGHT_FD", "no queue", CLOSED, asks(fe.GET_INFLIGHT_FD, inflight(0, 0, 0, 64))),
    Lie(
        "GET_INFLIGHT_FD", "2 queues of 1", CLOSED, asks(fe.GET_INFLIGHT_FD, inflight(0, 0, 2, 64))
    ),
    Lie("GET_INFLIGHT_FD", "no descriptor", CLOSED, asks(fe.GET_INFLIGHT_FD, inflight(0, 0, 1, 0))),
    Lie(
        "GET_INFLIGHT_FD",
        "2^16 - 1 of them",
        CLOSED,
        asks(fe.GET_INFLIGHT_FD, inflight(0, 0, 1, 65535)),
    ),
]

# ---- files ---------------------------------------------------------------------------------------

PAYLOADS = {
    fe.SET_MEM_TABLE: table(1),
    fe.ADD_MEM_REG: region(ELSEWHERE, 1 << 22, ELSEWHERE),
    fe.SET_INFLIGHT_FD: inflight(1 << 16, 0, 1, 64),
}
# Which kinds a message is satisfied with.
TAKES: dict[str, tuple[int, set[str]]] = {
    "SET_VRING_KICK": (fe.SET_VRING_KICK, {"eventfd"}),
    "SET_VRING_CALL": (fe.SET_VRING_CALL, {"eventfd"}),
    "SET_VRING_ERR": (fe.SET_VRING_ERR, {"eventfd"}),
    "SET_MEM_TABLE": (fe.SET_MEM_TABLE, {"memory"}),
    "ADD_MEM_REG": (fe.ADD_MEM_REG, {"memory"}),
    "SET_INFLIGHT_FD": (fe.SET_INFLIGHT_FD, {"memory"}),
    "SET_BACKEND_REQ_FD": (fe.SET_BACKEND_REQ_FD, {"stream socket"}),
    # These want none, and close what they get.
    "SET_OWNER": (fe.SET_OWNER, set(KINDS)),
    "SET_FEATURES": (fe.SET_FEATURES, set(KINDS)),
}
FILES = [
    Lie(
        name,
        f"a file of the kind {kind}",
        TAKEN if kind in taken else REFUSED,
        says(request, PAYLOADS.get(request, bytes(8)), kind),
    )
    for name, (request, taken) in TAKES.items()
    for kind in KINDS
]
NUMBERS = [
    Lie("SET_OWNER", "8 pipes", TAKEN, says(fe.SET_OWNER, b"", *8 * ["full pipe"])),
    Lie("SET_OWNER", "9 pipes", CLOSED, says(fe.SET_OWNER, b"", *9 * ["full pipe"])),
    Lie("SET_OWNER", "250 eventfds", CLOSED, says(fe.SET_OWNER, b"", *250 * ["eventfd"])),
    Lie("SET_VRING_CALL", "8 eventfds", TAKEN, says(fe.SET_VRING_CALL, bytes(8), *8 * ["eventfd"])),
    Lie(
        "SET_MEM_TABLE", "8 files for one", TAKEN, says(fe.SET_MEM_TABLE, table(1), *8 * ["memory"])
    ),
]

# ---- states --------------------------------------------------------------------------------------


def in_turn(*acts: Act) -> Act:
    def act(client: Frontend) -> Then:
        return [each(client) for each in acts][-1]

    return act


def again(act: Act, count: int = 50) -> Act:
    return in_turn(*[act] * count)


def stops(client: Frontend) -> Then:
    client.stop_queue(0)
    return TAKEN


def cuts_memory(to: int) -> Act:
    """The back-end notices it at the next access."""

    def act(client: Frontend) -> Then:
        os.ftruncate(client.memory.fd, to)
        client.queues[0].kick()
        client.connection.receive()
        return TAKEN

    return act


def lingers(before: bytes, count: int) -> Act:
    """Sends sockets whose last close waits. The back-end has it, because it stands still until the
    client has closed them."""

    def act(client: Frontend) -> Then:
        peer = client.connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        backend = struct.unpack("3i", peer)[0]
        waiting.stop(backend)
        try:
            client.connection.send_raw(before)
            send_lingering(client.connection.socket, header(fe.SET_OWNER, 0), count)
        finally:
            waiting.go_on(backend)
        client.connection.ask_u64(fe.GET_FEATURES)
        return TAKEN

    return act


def brings_lingering(client: Frontend) -> Then:
    """A Unix socket that holds one that lingers. The back-end has the last close of both."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_lingering(ours)
        client.tell(fe.SET_BACKEND_REQ_FD, b"", [theirs.fileno()])
    return TAKEN


OWN = struct.pack("<Q", 0) + struct.pack("<QQQQ", GUEST_BASE, MEMORY_BYTES, USER_BASE, 0)
STATES = [
    Lie("GET_VRING_BASE", "a hundred times", TAKEN, again(stops, 100)),
    Lie(
        "SET_VRING_ENABLE",
        "on and off",
        TAKEN,
        again(
            in_turn(says(fe.SET_VRING_ENABLE, state(0, 0)), says(fe.SET_VRING_ENABLE, state(0, 1)))
        ),
    ),
    Lie("RESET_DEVICE", "again and again", TAKEN, again(says(fe.RESET_DEVICE))),
    Lie("SET_STATUS", "2^64 - 1", TAKEN, says(fe.SET_STATUS, u64(ALL))),
    Lie("SET_STATUS", "0 while rings run", TAKEN, again(says(fe.SET_STATUS, u64(0)))),
    Lie("SET_FEATURES", "none, while rings run", TAKEN, says(fe.SET_FEATURES, u64(0))),
    Lie("SET_MEM_TABLE", "no region, while rings run", TAKEN, says(fe.SET_MEM_TABLE, table(0, 0))),
    Lie(
        "SET_MEM_TABLE",
        "other memory than that of the rings",
        REFUSED,
        says(fe.SET_MEM_TABLE, struct.pack("<II", 1, 0) + region(0, 4096, ELSEWHERE)[8:], "memory"),
    ),
    Lie("REM_MEM_REG", "the memory of the rings", TAKEN, says(fe.REM_MEM_REG, OWN)),
    Lie("REM_MEM_REG", "the same twice", REFUSED, again(says(fe.REM_MEM_REG, OWN), 2)),
    Lie("SET_VRING_KICK", "none, again and again", TAKEN, again(says(fe.SET_VRING_KICK, u64(256)))),
    Lie(
        "SET_VRING_NUM", "another size while rings run", TAKEN, says(fe.SET_VRING_NUM, state(0, 2))
    ),
    Lie(
        "SET_VRING_NUM",
        "more than the memory holds",
        REFUSED,
        says(fe.SET_VRING_NUM, state(0, 32768)),
    ),
    Lie("SET_BACKEND_REQ_FD", "a socket with one that lingers", TAKEN, brings_lingering),
    Lie("SET_OWNER", "sockets that linger", TAKEN, lingers(b"", 8)),
    Lie("SET_OWNER", "more sockets that linger than are taken", CLOSED, lingers(b"", 9)),
    Lie("SET_OWNER", "is not read, with a socket that lingers", CLOSED, lingers(bytes(12), 1)),
    Lie("memory file", "is cut to nothing", CLOSED, cuts_memory(0)),
    Lie("memory file", "is cut to a page", CLOSED, cuts_memory(4096)),
]

UNACKNOWLEDGED = "without an acknowledgement"
LIES = [
    *(
        Lie(about, wrong, REFUSED, says(request, payload, *kinds))
        for request, about, wrong, payload, kinds in BAD
    ),
    *(
        Lie(about, f"{wrong}, {UNACKNOWLEDGED}", CLOSED, untold(request, payload, *kinds))
        for request, about, wrong, payload, kinds in BAD[::4]
    ),
    *HEADERS,
    *HALVES,
    *QUESTIONS,
    *FILES,
    *NUMBERS,
    *STATES,
]
