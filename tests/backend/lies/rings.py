# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about what a client writes into shared memory: rings, descriptors, requests, the record."""

import os
import struct
from collections.abc import Callable

from tests.backend import frontend as fe
from tests.backend.disk_requests import (
    BLK_DISCARD,
    BLK_FLUSH,
    BLK_GET_ID,
    BLK_READ,
    BLK_WRITE,
    BLK_WRITE_ZEROES,
)
from tests.backend.frontend import (
    DESC_INDIRECT,
    DESC_NEXT,
    DESC_WRITE,
    GUEST_BASE,
    USER_BASE,
    Frontend,
)
from tests.backend.lies.client import MEMORY_BYTES, Act, Desc, Lie, Then, outcome, requests

BROKEN, IOERR, OK, UNSUPP = Then.BROKEN, Then.IOERR, Then.OK, Then.UNSUPP
ALL = (1 << 64) - 1
U32 = 0xFFFFFFFF
NEXT, WRITE, INDIRECT = DESC_NEXT, DESC_WRITE, DESC_INDIRECT
OUTSIDE = 1 << 50
END = GUEST_BASE + MEMORY_BYTES

# ---- chains --------------------------------------------------------------------------------------

HEADER = Desc("header", 16, NEXT, 1)
DATA = Desc("data", 512, WRITE | NEXT, 2)
OUT = Desc("data", 512, NEXT, 2)
STATUS = Desc("status", 1, WRITE)
TABLE = Desc("table", 48, INDIRECT)


def chain(wrong: str, then: Then, *descriptors: Desc) -> Lie:
    return Lie("chain", wrong, then, requests(*descriptors))


def table(wrong: str, then: Then, first: Desc, *descriptors: Desc) -> Lie:
    return Lie("indirect table", wrong, then, requests(first, table=descriptors))


CHAINS = [
    chain("right", OK, HEADER, DATA, STATUS),
    chain("outside of memory", BROKEN, HEADER, Desc(OUTSIDE, 512, WRITE | NEXT, 2), STATUS),
    chain("past the end", BROKEN, HEADER, Desc(END - 8, 512, WRITE | NEXT, 2), STATUS),
    chain(
        "before the beginning", BROKEN, HEADER, Desc(GUEST_BASE - 8, 512, WRITE | NEXT, 2), STATUS
    ),
    chain("an address that wraps", BROKEN, HEADER, Desc(ALL - 7, 512, WRITE | NEXT, 2), STATUS),
    chain("address 0", BROKEN, HEADER, Desc(0, 512, WRITE | NEXT, 2), STATUS),
    chain("no bytes", BROKEN, HEADER, Desc("data", 0, WRITE | NEXT, 2), STATUS),
    chain("4 GiB", BROKEN, HEADER, Desc("data", U32, WRITE | NEXT, 2), STATUS),
    chain("next is the size of the ring", BROKEN, Desc("header", 16, NEXT, 64)),
    chain("next is 2^16 - 1", BROKEN, Desc("header", 16, NEXT, 65535)),
    chain("a circle of one", BROKEN, Desc("header", 16, NEXT, 0)),
    chain("a circle of two", BROKEN, HEADER, Desc("data", 512, NEXT, 0)),
    chain("written before read", BROKEN, Desc("data", 16, WRITE | NEXT, 1), Desc("header", 16)),
    chain("unknown flags", OK, Desc("header", 16, NEXT | 0xFFF8, 1), DATA, STATUS),
    table("right", OK, TABLE, HEADER, DATA, STATUS),
    table("outside of memory", BROKEN, Desc(OUTSIDE, 48, INDIRECT)),
    table("past the end", BROKEN, Desc(END - 16, 48, INDIRECT)),
    table("an address that wraps", BROKEN, Desc(ALL - 15, 48, INDIRECT)),
    table("an odd address", BROKEN, Desc(GUEST_BASE + 1, 48, INDIRECT)),
    table("no bytes", BROKEN, Desc("table", 0, INDIRECT)),
    table("an odd size", BROKEN, Desc("table", 47, INDIRECT)),
    table("4 GiB", BROKEN, Desc("table", 0xFFFFFFF0, INDIRECT)),
    table("with next", BROKEN, Desc("table", 48, INDIRECT | NEXT, 1), STATUS),
    table("for the device to write", OK, Desc("table", 48, INDIRECT | WRITE), HEADER, DATA, STATUS),
    table("a table in it", BROKEN, TABLE, Desc("table 2", 48, INDIRECT)),
    table("itself", BROKEN, TABLE, Desc("table", 48, INDIRECT)),
    table("next is behind it", BROKEN, TABLE, Desc("header", 16, NEXT, 3)),
    table("a circle", BROKEN, TABLE, HEADER, Desc("data", 512, NEXT, 0)),
    table(
        "longer than the ring",
        BROKEN,
        Desc("table", 16 * 300, INDIRECT),
        *[Desc("header", 16, NEXT, (index + 1) % 65536) for index in range(256)],
    ),
    *(
        table(f"the ring's own of {count}", BROKEN, Desc(GUEST_BASE, 16 * count, INDIRECT))
        for count in (1, 2, 64)
    ),
]

# ---- requests of virtio-blk ----------------------------------------------------------------------


def request(
    wrong: str,
    then: Then,
    *descriptors: Desc,
    kind: int = BLK_READ,
    sector: int = 0,
    data: bytes = b"",
) -> Lie:
    return Lie("request", wrong, then, requests(*descriptors, kind=kind, sector=sector, data=data))


def ranges(wrong: str, then: Then, data: bytes, kind: int = BLK_DISCARD) -> Lie:
    out = Desc("data", len(data), NEXT, 2)
    return Lie("range", wrong, then, requests(HEADER, out, STATUS, kind=kind, data=data))


SECTORS = 2048
REQUESTS = [
    request("no header", IOERR, STATUS),
    request("a header a byte short", IOERR, Desc("header", 15, NEXT, 1), DATA, STATUS),
    request(
        "a header in 16 pieces",
        OK,
        *[Desc(GUEST_BASE + 0x8000 + index, 1, NEXT, index + 1) for index in range(16)],
        Desc("data", 512, WRITE | NEXT, 17),
        STATUS,
    ),
    request("no status", Then.NO_STATUS, Desc("header", 16)),
    request("a status that cannot be written", Then.NO_STATUS, HEADER, OUT, Desc("status", 1)),
    request("a status of 100 bytes", Then.NO_STATUS, HEADER, DATA, Desc("status", 100, WRITE)),
    request("a read of nothing", OK, Desc("header", 16, NEXT, 1), STATUS),
    request("half a sector", IOERR, HEADER, Desc("data", 256, WRITE | NEXT, 2), STATUS),
    request("a byte", IOERR, HEADER, Desc("data", 1, WRITE | NEXT, 2), STATUS),
    request("a read into what cannot be written", IOERR, HEADER, OUT, STATUS),
    request("a write of what is written", IOERR, HEADER, DATA, STATUS, kind=BLK_WRITE),
    request("beyond the end", IOERR, HEADER, DATA, STATUS, sector=SECTORS),
    request(
        "across the end",
        IOERR,
        HEADER,
        Desc("data", 1024, WRITE | NEXT, 2),
        STATUS,
        sector=SECTORS - 1,
    ),
    request("sector 2^55", IOERR, HEADER, DATA, STATUS, sector=1 << 55),
    request("sector 2^63", IOERR, HEADER, DATA, STATUS, sector=1 << 63),
    request("sector 2^64 - 1", IOERR, HEADER, DATA, STATUS, sector=ALL),
    request("a write to sector 2^64 - 1", IOERR, HEADER, OUT, STATUS, sector=ALL, kind=BLK_WRITE),
    request("an unknown type", UNSUPP, HEADER, DATA, STATUS, kind=99),
    request("type 2^32 - 1", UNSUPP, HEADER, DATA, STATUS, kind=U32),
    request("a flush with data", OK, HEADER, DATA, STATUS, kind=BLK_FLUSH),
    request(
        "an ID of a byte",
        OK,
        HEADER,
        Desc("data", 1, WRITE | NEXT, 2),
        STATUS,
        kind=BLK_GET_ID,
    ),
    request(
        "an ID of 4 KiB",
        OK,
        HEADER,
        Desc("data", 4096, WRITE | NEXT, 2),
        STATUS,
        kind=BLK_GET_ID,
    ),
    request("an ID of nothing", OK, HEADER, STATUS, kind=BLK_GET_ID),
    ranges("beyond the end", IOERR, struct.pack("<QII", SECTORS, 1, 0)),
    ranges("across the end", IOERR, struct.pack("<QII", SECTORS - 1, 2, 0)),
    ranges("sector 2^64 - 1", IOERR, struct.pack("<QII", ALL, 1, 0)),
    ranges("2^32 - 1 sectors", IOERR, struct.pack("<QII", 0, U32, 0)),
    ranges("unknown flags", UNSUPP, struct.pack("<QII", 0, 1, U32)),
    ranges("unmap in a discard", UNSUPP, struct.pack("<QII", 0, 1, 1)),
    ranges("15 bytes", IOERR, bytes(15)),
    ranges("17 bytes", IOERR, bytes(17)),
    ranges("256 of them", IOERR, struct.pack("<QII", 0, 1, 0) * 256),
    ranges("zeroes beyond the end", IOERR, struct.pack("<QII", SECTORS, 1, 0), BLK_WRITE_ZEROES),
    ranges("zeroes with unknown flags", UNSUPP, struct.pack("<QII", 0, 1, 2), BLK_WRITE_ZEROES),
]

# ---- the avail ring ------------------------------------------------------------------------------


def avail(index: int, head: int = 0) -> Act:
    def act(client: Frontend) -> Then:
        client.queues[0].offer(head)
        client.queues[0].avail_index = index & 0xFFFF
        return outcome(client)

    return act


AVAIL = [
    Lie("avail.idx", "a ring and one ahead", BROKEN, avail(65)),
    Lie("avail.idx", "1000 ahead", BROKEN, avail(1000)),
    Lie("avail.idx", "2^15 ahead", BROKEN, avail(1 << 15)),
    Lie("avail.idx", "one back", BROKEN, avail(-1)),
    Lie("avail.ring", "the size of the ring", BROKEN, avail(1, 64)),
    Lie("avail.ring", "2^16 - 1", BROKEN, avail(1, 65535)),
]

# ---- where the rings lie -------------------------------------------------------------------------


def lies_at(descriptors: int, used: int, available: int) -> Act:
    """The ring is told to lie elsewhere, and is used as if it did not."""

    def act(client: Frontend) -> Then:
        addresses = struct.pack("<IIQQQQ", 0, 0, descriptors, used, available, 0)
        if client.tell(fe.SET_VRING_ADDR, addresses):
            return Then.REFUSED
        client.queues[0].offer(0)
        client.queues[0].publish()
        client.queues[0].kick()
        return Then.TAKEN

    return act


MIDDLE = USER_BASE + MEMORY_BYTES // 2
LAST = USER_BASE + MEMORY_BYTES
ADDRESSES = [
    Lie("SET_VRING_ADDR", wrong, Then.REFUSED, lies_at(*numbers))
    for wrong, numbers in {
        "outside of memory": (OUTSIDE, OUTSIDE, OUTSIDE),
        "address 0": (0, 0, 0),
        "addresses that wrap": (ALL - 15, ALL - 15, ALL - 15),
        "descriptors past the end": (LAST - 16, MIDDLE, MIDDLE),
        "a used ring past the end": (MIDDLE, LAST - 8, MIDDLE),
        "an avail ring past the end": (MIDDLE, MIDDLE, LAST - 4),
        "odd descriptors": (MIDDLE + 8, MIDDLE, MIDDLE),
        "an odd used ring": (MIDDLE, MIDDLE + 2, MIDDLE),
        "an odd avail ring": (MIDDLE, MIDDLE, MIDDLE + 1),
        "guest addresses": (GUEST_BASE, GUEST_BASE, GUEST_BASE),
    }.items()
] + [
    Lie(
        "SET_VRING_ADDR",
        "all three in one place",
        Then.TAKEN,
        lies_at(USER_BASE, USER_BASE, USER_BASE),
    ),
    Lie("SET_VRING_ADDR", "used over avail", Then.TAKEN, lies_at(USER_BASE, MIDDLE, MIDDLE)),
    Lie("SET_VRING_ADDR", "used over descriptors", Then.TAKEN, lies_at(MIDDLE, MIDDLE, USER_BASE)),
]

# ---- the record of requests in flight ------------------------------------------------------------

RECORD = struct.Struct("<QHHHH")  # features, version, descriptors, last batch, used index
ENTRY = struct.Struct("<B5xHQ")  # in flight, next, counter


def remembers(head: bytes, entries: bytes = b"", size: int = 1 << 16) -> Act:
    """The ring starts again with this record."""

    def act(client: Frontend) -> Then:
        client.stop_queue(0)
        record = os.memfd_create("record")
        os.ftruncate(record, size)
        os.pwrite(record, head + entries, 0)
        payload = struct.pack("<QQHH", size, 0, 1, 64)
        refused = client.tell(fe.SET_INFLIGHT_FD, payload, [record])
        os.close(record)
        if refused:
            return Then.REFUSED
        client.start_queue(0)
        return requests(HEADER, DATA, STATUS)(client)

    return act


def all_in_flight(next_: int = 0, counter: Callable[[int], int] = lambda _: 0) -> bytes:
    return b"".join(ENTRY.pack(1, next_, counter(head)) for head in range(64))


INFLIGHT = [
    Lie("inflight record", wrong, then, remembers(head, entries))
    for wrong, then, head, entries in (
        ("all zeroes", OK, RECORD.pack(0, 0, 0, 0, 0), b""),
        ("unknown features", OK, RECORD.pack(ALL, 1, 64, 0, 0), b""),
        ("an unknown version", OK, RECORD.pack(0, 9, 64, 0, 0), b""),
        ("no descriptors", OK, RECORD.pack(0, 1, 0, 0, 0), b""),
        ("2^16 - 1 descriptors", OK, RECORD.pack(0, 1, 65535, 0, 0), b""),
        ("a last batch behind the end", OK, RECORD.pack(0, 1, 64, 65535, 9), b""),
        ("a batch that goes in a circle", OK, RECORD.pack(0, 1, 64, 0, 1), ENTRY.pack(0, 0, 0)),
        ("a used index that is not that of the ring", OK, RECORD.pack(0, 1, 64, 0, 0x8000), b""),
        ("next behind the end", OK, RECORD.pack(0, 1, 64, 0, 9), ENTRY.pack(0, 65535, 0)),
        ("all are in flight", BROKEN, RECORD.pack(0, 1, 64, 0, 0), all_in_flight()),
        ("all ones", BROKEN, b"\xff" * 16, b"\xff" * 1024),
        (
            "counters of 2^64 - 1",
            BROKEN,
            RECORD.pack(0, 1, 64, 0, 0),
            all_in_flight(0, lambda _: ALL),
        ),
    )
]

LIES = [*CHAINS, *REQUESTS, *AVAIL, *ADDRESSES, *INFLIGHT]
