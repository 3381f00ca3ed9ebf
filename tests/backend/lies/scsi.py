# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about a client's requests to virtio-scsi: commands, task management, events."""

import struct

from tests.backend.disk_requests import SCSI_CONTROL, SCSI_REQUEST, lun_address
from tests.backend.frontend import DESC_NEXT, DESC_WRITE
from tests.backend.lies.client import Act, Desc, Lie, Then, requests

BROKEN, IOERR, NO_STATUS, OK = Then.BROKEN, Then.IOERR, Then.NO_STATUS, Then.OK
NEXT, WRITE = DESC_NEXT, DESC_WRITE
ALL = (1 << 64) - 1
U32 = 0xFFFFFFFF
RESPONSE_BYTES = 108

HEADER = Desc("header", 51, NEXT, 1)
RESPONSE = Desc("status", RESPONSE_BYTES, WRITE | NEXT, 2)
LAST_RESPONSE = Desc("status", RESPONSE_BYTES, WRITE)
DATA = Desc("data", 512, WRITE)
ANSWER = Desc("status", 1, WRITE)


def command(cdb: bytes, address: bytes = lun_address(0, 0)) -> bytes:
    return address + struct.pack("<QBBB", 1, 0, 0, 0) + cdb.ljust(32, b"\0")


def sent(cdb: bytes, *chain: Desc, address: bytes = lun_address(0, 0), data: bytes = b"") -> Act:
    return requests(
        *(chain or (HEADER, RESPONSE, DATA)),
        header=command(cdb, address),
        queue=SCSI_REQUEST,
        data=data,
    )


def read_16(lba: int, blocks: int) -> bytes:
    return struct.pack(">BBQIBB", 0x88, 0, lba, blocks, 0, 0)


def unmap(length: int) -> bytes:
    return struct.pack(">BB5xHB", 0x42, 0, length, 0)


def unmap_list(data: int, descriptors: int, lba: int = 0, blocks: int = 1) -> bytes:
    return struct.pack(">HH4xQI4x", data, descriptors, lba, blocks)


def controls(header: bytes, *chain: Desc) -> Act:
    return requests(*chain, header=header, queue=SCSI_CONTROL)


OUT = Desc("data", 24, NEXT, 2)
READ = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0])

LIES = [
    Lie(about, wrong, then, act, scsi=True)
    for about, wrong, then, act in (
        (
            "command",
            "a header a byte short",
            IOERR,
            sent(READ, Desc("header", 50, NEXT, 1), RESPONSE, DATA),
        ),
        ("command", "no response", NO_STATUS, sent(READ, Desc("header", 51))),
        (
            "command",
            "a response a byte short",
            NO_STATUS,
            sent(READ, HEADER, Desc("status", 107, WRITE)),
        ),
        (
            "command",
            "a response that cannot be written",
            NO_STATUS,
            sent(READ, HEADER, Desc("status", 108)),
        ),
        ("command", "all ones", IOERR, sent(b"\xff" * 32)),
        ("command", "target 255", IOERR, sent(READ, address=lun_address(255, 0))),
        ("command", "LUN 16383", IOERR, sent(READ, address=lun_address(0, 16383))),
        ("command", "an address of ones", IOERR, sent(READ, address=b"\xff" * 8)),
        ("READ (16)", "block 2^64 - 1", IOERR, sent(read_16(ALL, 1))),
        ("READ (16)", "2^32 - 1 blocks", IOERR, sent(read_16(0, U32))),
        ("READ (16)", "blocks that wrap", IOERR, sent(read_16(ALL - 1, 8))),
        ("READ (16)", "more than the buffer holds", IOERR, sent(read_16(0, 8))),
        ("READ (16)", "no buffer", IOERR, sent(read_16(0, 1), HEADER, LAST_RESPONSE)),
        ("UNMAP", "a list of no bytes", OK, sent(unmap(0), HEADER, LAST_RESPONSE)),
        (
            "UNMAP",
            "a list longer than the buffer",
            IOERR,
            sent(unmap(65535), HEADER, OUT, LAST_RESPONSE, data=unmap_list(22, 16)),
        ),
        (
            "UNMAP",
            "descriptors of 65535 bytes",
            OK,
            sent(unmap(24), HEADER, OUT, LAST_RESPONSE, data=unmap_list(65535, 65535)),
        ),
        (
            "UNMAP",
            "descriptors of 15 bytes",
            OK,
            sent(unmap(24), HEADER, OUT, LAST_RESPONSE, data=unmap_list(22, 15)),
        ),
        (
            "UNMAP",
            "block 2^64 - 1",
            IOERR,
            sent(unmap(24), HEADER, OUT, LAST_RESPONSE, data=unmap_list(22, 16, ALL, 1)),
        ),
        (
            "UNMAP",
            "2^32 - 1 blocks",
            IOERR,
            sent(unmap(24), HEADER, OUT, LAST_RESPONSE, data=unmap_list(22, 16, 0, U32)),
        ),
        ("INQUIRY", "page FFh", IOERR, sent(bytes([0x12, 1, 0xFF, 0xFF, 0xFF, 0]))),
        ("REPORT LUNS", "4 GiB", OK, sent(struct.pack(">B5xIBB", 0xA0, U32, 0, 0))),
        (
            "MODE SENSE",
            "64 KiB of all pages",
            OK,
            sent(struct.pack(">BBBB3xHB", 0x5A, 0, 0x3F, 0xFF, 65535, 0)),
        ),
        (
            "task management",
            "an unknown type",
            NO_STATUS,
            controls(
                struct.pack("<II", 99, 0) + bytes(16), Desc("header", 24, NEXT, 1), LAST_RESPONSE
            ),
        ),
        (
            "task management",
            "an unknown subtype",
            OK,
            controls(
                struct.pack("<II", 0, 99) + lun_address(0, 0) + bytes(8),
                Desc("header", 24, NEXT, 1),
                LAST_RESPONSE,
            ),
        ),
        (
            "task management",
            "a short request",
            NO_STATUS,
            controls(bytes(24), Desc("header", 3, NEXT, 1), LAST_RESPONSE),
        ),
        ("task management", "no response", NO_STATUS, controls(bytes(24), Desc("header", 24))),
        (
            "task management",
            "outside of memory",
            BROKEN,
            controls(bytes(24), Desc(0, 24, NEXT, 1), LAST_RESPONSE),
        ),
    )
]
