# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows about virtio-scsi: the responses of its controller, and what its disk says of itself."""

import struct
from collections.abc import Mapping

from tests.engine.lies.disk import SCSI_DISK, Lie, Reach
from tests.engine.ring_device import DESC_WRITE
from tests.engine.scsi_backend import (
    BLOCK_LIMITS,
    CHECK_CONDITION,
    INQUIRY,
    MODE_SENSE_6,
    PROVISIONING,
    READ_10,
    READ_CAPACITY_10,
    READ_CAPACITY_16,
    Command,
    Reply,
    capacity_10,
    capacity_16,
    fixed_sense,
    inquiry,
    memory,
    refused,
)

ALL = (1 << 64) - 1
U32 = 0xFFFFFFFF
READ = (READ_10, 0)
CAPACITY = (READ_CAPACITY_16, 0)
UNUSABLE = "the disk at target 0, LUN 0 cannot be used: "
TOO_LARGE = "a disk has at most 9223372036854775807 bytes"


def disk(
    about: str,
    says: str,
    command: Command,
    answer: bytes | Reply | None,
    then: str = "",
    at: str = "attach",
) -> Lie:
    """The disk answers the command so, every time; None: it does not know it."""
    answers: Mapping[Command, bytes | Reply] = {
        **{key: value for key, value in SCSI_DISK.items() if key != command},
        **({} if answer is None else {command: answer}),
    }
    return Lie(about, says, then, at, told={"answers": answers}, scsi=True)


def reads(about: str, says: str, reply: Reply, then: str = "") -> Lie:
    """The controller answers a read so."""
    return disk(about, says, READ, reply, then, at="read")


def sense(says: str, data: bytes, then: str) -> Lie:
    return reads("sense", says, refused(data), then)


def claims_sense(length: int) -> Lie:
    """The sense data are short or none, and their length is not."""

    def lie(reach: Reach) -> bool:
        response = next(part for part in reach.ring.chain(reach.head) if part.flags & DESC_WRITE)
        head = struct.pack("<IIHBB", length, 0, 0, CHECK_CONDITION, 0)
        memory(response.address, response.length)[:] = head + b"\xff" * (response.length - 12)
        return True

    return Lie("sense_len", str(length), "the disk refused a read", "read", ring=lie, scsi=True)


RESPONSES = [
    *(
        reads("residual", str(left), Reply(bytes(5632), residual=left), f"moved {left} bytes less")
        for left in (1, 512, 5631, 5633, 1 << 31, U32)
    ),
    *(claims_sense(length) for length in (1, 95, 97, 1 << 16, 1 << 31, U32)),
    reads("response", "OVERRUN", Reply(response=1), "with: more data than the buffer holds"),
    reads("response", "BAD_TARGET", Reply(response=3), "with: no such target or LUN"),
    reads("response", "FAILURE", Reply(response=9), "with: failure (response 9)"),
    reads("response", "INCORRECT_LUN", Reply(response=12), "with: no such LUN"),
    reads("response", "13", Reply(response=13), "with: an unknown response (response 13)"),
    reads("response", "254", Reply(response=254), "with: an unknown response (response 254)"),
    reads("response", "none", Reply(response=255), "it could not read the request"),
    reads("response", "RESET, every time", Reply(response=4), "the bus or device was reset"),
    reads("SCSI status", "1", Reply(status=1), "it gave no reason that is known (status 01h)"),
    reads(
        "SCSI status", "RESERVATION CONFLICT", Reply(status=0x18), "reserved for another initiator"
    ),
    reads("SCSI status", "TASK ABORTED, every time", Reply(status=0x40), "it aborted the command"),
    reads("SCSI status", "FEh", Reply(status=0xFE), "that is known (status FEh)"),
    sense("none", b"", "NO SENSE, ASC 00h, ASCQ 00h"),
    sense("one byte", b"\x70", "NO SENSE, ASC 00h, ASCQ 00h"),
    sense("no key", b"\x70\0", "NO SENSE, ASC 00h, ASCQ 00h"),
    sense("an unknown format", b"\x7f" + bytes(17), "NO SENSE, ASC 00h, ASCQ 00h"),
    sense("all zeroes", bytes(96), "NO SENSE, ASC 00h, ASCQ 00h"),
    sense("all ones", b"\xff" * 96, "the disk refused a read of 5632 bytes at 512"),
    sense("a reserved key", fixed_sense(14), "MISCOMPARE, ASC 00h, ASCQ 00h"),
    sense("UNIT ATTENTION, every time", fixed_sense(6, 0x29), "UNIT ATTENTION, ASC 29h"),
    sense("an error of an earlier command", fixed_sense(3, code=0x71), "an earlier command failed"),
]


def provisioning(flags: int) -> bytes:
    return bytes([0, PROVISIONING, 0, 4, 0, flags, 0, 0])


def limits(**fields: int) -> bytes:
    """The block limits page (SBC-3, 6.6.3) with these 32-bit fields."""
    places = {"transfer": 8, "optimal": 12, "unmap": 20, "ranges": 24, "alignment": 28}
    page = bytearray(struct.pack(">BBH", 0, BLOCK_LIMITS, 60) + bytes(60))
    for name, value in {"unmap": 1 << 20, "ranges": 1, **fields}.items():
        page[places[name] : places[name] + 4] = struct.pack(">I", value)
    return bytes(page)


NO_DISK = "there is no disk at target 0, LUN 0"
NO_UNMAP = "a discard goes to a device that does not offer it"
DESCRIPTIONS = [
    disk("INQUIRY", "nothing", (INQUIRY, 0), b"", NO_DISK),
    disk("INQUIRY", "a byte", (INQUIRY, 0), b"\0", NO_DISK),
    disk("INQUIRY", "no LUN", (INQUIRY, 0), inquiry(0x7F), NO_DISK),
    disk("INQUIRY", "no vendor", (INQUIRY, 0), bytes(36), NO_DISK),
    disk("INQUIRY", "a DVD", (INQUIRY, 0), inquiry(5), "it is a device of type 05h"),
    disk("INQUIRY", "all ones", (INQUIRY, 0), b"\xff" * 255, "it is not connected"),
    disk("INQUIRY", "more than was asked for", (INQUIRY, 0), inquiry() + b"\xff" * 9000),
    disk("INQUIRY", "no printable name", (INQUIRY, 0), inquiry()[:8] + b"\x01\x80" * 14),
    disk("INQUIRY", "an unknown command", (INQUIRY, 0), None, "invalid command operation code"),
    *(
        disk(
            "READ CAPACITY (16)",
            f"blocks of {size}",
            CAPACITY,
            capacity_16(7, size),
            f"blocks have {size} bytes",
        )
        for size in (0, 1, 511, 520, 1 << 21, U32)
    ),
    disk("READ CAPACITY (16)", "2^64 blocks", CAPACITY, capacity_16(ALL, 512), "last block is"),
    disk("READ CAPACITY (16)", "2^63 blocks", CAPACITY, capacity_16(ALL >> 1, 512), TOO_LARGE),
    disk("READ CAPACITY (16)", "2^54 blocks", CAPACITY, capacity_16((1 << 54) - 1, 512), TOO_LARGE),
    disk("READ CAPACITY (16)", "a byte", CAPACITY, b"\x01", "blocks have 0 bytes"),
    disk("READ CAPACITY (16)", "nothing", CAPACITY, b"", "invalid command operation code"),
    disk("READ CAPACITY (16)", "all ones", CAPACITY, b"\xff" * 32, f"blocks have {U32} bytes"),
    Lie(
        "READ CAPACITY (10)",
        "2^32 blocks",
        "more blocks than READ CAPACITY (10) can tell",
        told={"answers": {(INQUIRY, 0): inquiry(), (READ_CAPACITY_10, 0): capacity_10(U32, 512)}},
        scsi=True,
    ),
    Lie(
        "READ CAPACITY (10)",
        "no blocks",
        "has no disk there any more",
        told={"answers": {(INQUIRY, 0): inquiry(), (READ_CAPACITY_10, 0): bytes(8)}},
        scsi=True,
    ),
    disk("block limits", "transfers of a block", (INQUIRY, BLOCK_LIMITS), limits(transfer=1)),
    disk("block limits", "transfers of 2^32 - 1", (INQUIRY, BLOCK_LIMITS), limits(transfer=U32)),
    disk("block limits", "an optimum of 2^32 - 1", (INQUIRY, BLOCK_LIMITS), limits(optimal=U32)),
    disk(
        "block limits", "an alignment of 2^32 - 1", (INQUIRY, BLOCK_LIMITS), limits(alignment=U32)
    ),
    disk("block limits", "an alignment of 3", (INQUIRY, BLOCK_LIMITS), limits(alignment=3)),
    disk("block limits", "unmaps of 2^32 - 1", (INQUIRY, BLOCK_LIMITS), limits(unmap=U32)),
    disk(
        "block limits", "unmaps of 0", (INQUIRY, BLOCK_LIMITS), limits(unmap=0), NO_UNMAP, "discard"
    ),
    disk(
        "block limits", "no ranges", (INQUIRY, BLOCK_LIMITS), limits(ranges=0), NO_UNMAP, "discard"
    ),
    disk(
        "block limits",
        "another page",
        (INQUIRY, BLOCK_LIMITS),
        provisioning(0),
        NO_UNMAP,
        "discard",
    ),
    disk("provisioning", "nothing", (INQUIRY, PROVISIONING), b"", NO_UNMAP, "discard"),
    disk("provisioning", "a page of 64 KiB", (INQUIRY, PROVISIONING), b"\0\xb2\xff\xff\0\x80"),
    disk("serial", "a page of 64 KiB", (INQUIRY, 0x80), b"\0\x80\xff\xff" + b"s" * 9000),
    disk("serial", "no printable one", (INQUIRY, 0x80), b"\0\x80\0\x04\0\x1b[m"),
    disk("MODE SENSE", "all ones", (MODE_SENSE_6, 8), b"\xff" * 192, "is read-only", "write"),
    disk("MODE SENSE", "all zeroes", (MODE_SENSE_6, 8), bytes(192)),
    disk("MODE SENSE", "a byte", (MODE_SENSE_6, 8), b"\x17"),
    disk("MODE SENSE", "descriptors without an end", (MODE_SENSE_6, 8), b"\xff\0\0\xff" + bytes(8)),
]
LIES = [*RESPONSES, *DESCRIPTIONS]
